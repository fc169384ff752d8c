"""Real episodes on disk, read without loading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamenv.config import BoxAction, DiscreteAction, RealSpec
from dreamenv.data.manifest import Manifest, read_manifest
from dreamenv.data.shards import Episode, read_shard, shard_folder
from dreamenv.errors import DataError

__all__ = ["Episode", "Rollouts"]


@dataclass(frozen=True)
class Rollouts:
    """The episodes of one or more folders, in order of folder and episode number.

    A folder has ``manifest.json`` and a sub-folder ``shard-00000`` … for every few episodes, each
    with ``frames.npy``, ``actions.npy``, ``rewards.npy`` and one value an episode in
    ``lengths.npy``, ``terminated.npy``, ``truncated.npy``, ``seeds.npy`` and ``real_steps.npy``.
    A shard appears whole or not at all, so a collection that was killed can be read up to there.
    """

    manifests: tuple[Manifest, ...]
    """One a folder."""
    episodes: list[Episode]

    @classmethod
    def open(cls, paths: str | Path | Sequence[str | Path]) -> Rollouts:
        """Open folders written by ``dreamenv collect``; several must be of the same real env,
        seen in the same way.

        Frames are memory-mapped; everything else (some dozen bytes a decision) is loaded.

        Raises:
            DataError: not a folder of rollouts, no finished shard, folders that do not go
                together, or a damaged file (naming it, what was expected and what was found).
        """
        folders = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
        if not folders:
            raise DataError("rollouts: expected at least one folder, got none")
        manifests = tuple(read_manifest(folder) for folder in folders)
        for folder, manifest in zip(folders, manifests, strict=True):
            for field in ("real", "observation_shape", "observation_dtype", "action"):
                first, this = getattr(manifests[0], field), getattr(manifest, field)
                if first != this:
                    raise DataError(
                        f"{folder}: {field} differs: expected {first} as in {folders[0]}, "
                        f"found {this}"
                    )
        episodes = [
            episode
            for folder, manifest in zip(folders, manifests, strict=True)
            for index in finished_shards(folder, manifest)
            for episode in read_shard(folder, index, manifest)
        ]
        if not episodes:
            raise DataError(
                f"{', '.join(map(str, folders))}: expected episodes, found no finished shard; "
                "run `dreamenv collect` again to go on"
            )
        return cls(manifests, episodes)

    @property
    def real(self) -> RealSpec:
        """The real env and how it is seen."""
        return self.manifests[0].real

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one observation."""
        return tuple(self.manifests[0].observation_shape)

    @property
    def observation_dtype(self) -> Literal["uint8", "float32"]:
        """uint8 of frames, float32 of vectors."""
        return self.manifests[0].observation_dtype

    @property
    def action(self) -> BoxAction | DiscreteAction:
        """The action space."""
        return self.manifests[0].action

    @property
    def real_steps(self) -> int:
        """Frames of the real env behind all episodes."""
        return sum(episode.real_steps for episode in self.episodes)

    @property
    def complete(self) -> bool:
        """Whether every planned episode is there, or every budget of real frames used up."""
        if len(self.episodes) == sum(manifest.episodes for manifest in self.manifests):
            return True
        budgets = [manifest.source.get("real_steps") for manifest in self.manifests]
        # Less than a decision may be left of each.
        counted = [b - (self.real.frames_per_step - 1) for b in budgets if isinstance(b, int)]
        return len(counted) == len(budgets) and self.real_steps >= sum(counted)


def finished_shards(folder: Path, manifest: Manifest) -> list[int]:
    """Numbers of the shards that are there."""
    planned = -(-manifest.episodes // manifest.episodes_per_shard)
    found = (path.name for path in folder.glob("shard-*") if path.is_dir())
    numbers = sorted(int(name[6:]) for name in found if name[6:].isdecimal())
    return [i for i in numbers if i < planned and shard_folder(folder, i).is_dir()]
