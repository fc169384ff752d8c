"""Rollouts to and from Minari datasets (the extra ``minari``).

Minari keeps its local datasets under ``~/.minari/datasets``, or ``MINARI_DATASETS_PATH``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dreamenv.config import BoxAction, DiscreteAction, RealSpec, RescaleAction
from dreamenv.data.lock import sole_writer
from dreamenv.data.manifest import Manifest, installed_versions, write_manifest
from dreamenv.data.rollouts import Episode, Rollouts, finished_shards
from dreamenv.data.shards import remove_unfinished, write_shard
from dreamenv.errors import DataError
from dreamenv.preprocess import FrameSteps

if TYPE_CHECKING:
    from minari import MinariDataset

EPISODES_PER_SHARD = 8
KEY = "dreamenv_real"
"""Metadata of an exported dataset: the RealSpec, as JSON, that its frames and actions are seen
through."""


def export_minari(rollouts: Rollouts, dataset_id: str) -> Path:
    """Write rollouts as the local Minari dataset ``dataset_id``; it appears whole or not at all.

    Frames are stored raw (Minari's JPEG encoding is lossy), a shard's worth of episodes at a time.
    Observations and actions are as in :class:`Episode`, so the dataset names no env of its own.

    Returns:
        The dataset's folder.

    Raises:
        ValueError: an id that Minari refuses (it wants ``(namespace/)name-v0``).
        DataError: there is a dataset of that id.
        ImportError: Minari is not installed.
    """
    _require_minari()
    from minari import __version__
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.dataset.minari_storage import MinariStorage
    from minari.namespace import create_namespace, list_local_namespaces
    from minari.storage import get_dataset_path

    namespace, _, _ = parse_dataset_id(dataset_id)
    target = Path(get_dataset_path(dataset_id))
    if (target / "data").exists():
        raise DataError(
            f"{target}: expected no dataset {dataset_id!r} yet; choose another version, or "
            "remove it with `minari delete`"
        )
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target) as scratch:
        unfinished = Path(scratch) / "data"
        storage = MinariStorage.new(
            unfinished,
            observation_space=gym.spaces.Box(0, 255, rollouts.observation_shape, np.uint8),
            action_space=rollouts.action.space(),
            jpeg_encoding=False,
        )
        policies = sorted({episode.policy for episode in rollouts.episodes})
        storage.update_metadata(
            {
                "dataset_id": dataset_id,
                "minari_version": __version__,
                "algorithm_name": ", ".join(policies),
                "description": f"{rollouts.real.env_id}, preprocessed by dreamenv",
                KEY: rollouts.real.model_dump_json(),
            }
        )
        for first in range(0, len(rollouts.episodes), EPISODES_PER_SHARD):
            batch = rollouts.episodes[first : first + EPISODES_PER_SHARD]
            storage.update_episodes([_buffer(episode) for episode in batch])
            storage.update_episode_metadata(
                [{"policy": e.policy, "real_steps": e.real_steps} for e in batch],
                range(first, first + len(batch)),
            )
        unfinished.rename(target / "data")
    return target


def import_minari(dataset_id: str, out: Path, real: RealSpec | None = None) -> Rollouts:
    """Write the local Minari dataset ``dataset_id`` as a folder of rollouts.

    Killed, the same call goes on.

    Args:
        real: the env behind the dataset. One that dreamenv exported knows its own. Any other holds
            an env's raw frames and actions, to which ``real``'s crops, resizes and (backwards)
            ``rescale_action`` are applied (without one, the bounds of the dataset's action space);
            its actions cannot be regrouped, so ``action_repeat`` is refused.

    Raises:
        DataError: no such dataset, not uint8 frames, actions that ``real`` cannot express, an
            episode that is not one (no last observation, ends in its middle), or ``out`` holds
            something else.
        ImportError: Minari is not installed.
    """
    _require_minari()
    import minari

    try:
        dataset = minari.load_dataset(dataset_id)
    except FileNotFoundError as error:
        raise DataError(
            f"Minari dataset {dataset_id!r}: expected a local one, found none; "
            f"`minari download {dataset_id}` fetches it, `minari list local` shows what there is"
        ) from error
    reader = _Reader(dataset, real)
    manifest = Manifest(
        real=reader.real,
        observation_shape=list(reader.frames.shape),
        action=reader.action,
        episodes=dataset.total_episodes,
        episodes_per_shard=EPISODES_PER_SHARD,
        policy=str(dataset.storage.metadata.get("algorithm_name", "unknown")),
        source={"minari": dataset_id},
        versions=installed_versions() | {"minari": minari.__version__},
    )
    out.mkdir(parents=True, exist_ok=True)
    with sole_writer(out):
        write_manifest(out, manifest)
        remove_unfinished(out)
        done = set(finished_shards(out, manifest))
        for shard, count in enumerate(manifest.shards):
            if shard not in done:
                first = shard * EPISODES_PER_SHARD
                episodes = reader.episodes(range(first, first + count), manifest.policy)
                write_shard(out, shard, list(episodes))
    return Rollouts.open(out)


def _require_minari() -> None:
    try:
        import h5py
        import minari  # noqa: F401
    except ImportError as error:
        raise ImportError('Minari datasets need: pip install "dreamenv[minari]"') from error
    del h5py


def _buffer(episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    last = np.arange(len(episode)) == len(episode) - 1
    return EpisodeBuffer(
        seed=episode.seed,
        observations=episode.frames,
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
    )


class _Reader:
    """A Minari dataset's episodes as ours."""

    def __init__(self, dataset: MinariDataset, real: RealSpec | None) -> None:
        self._dataset = dataset
        own = dataset.storage.metadata.get(KEY)
        raw = own is None
        if own is not None:
            stored = _stored_spec(dataset.id, own)
            if real is not None and real != stored:
                raise DataError(f"{dataset.id}: expected real {stored}, its own, got {real}")
            real = stored
        elif real is None:
            raise DataError(
                f"{dataset.id}: expected real, the env behind it: it was not exported by dreamenv, "
                f"and says env_spec {dataset.env_spec}"
            )
        elif real.frames_per_step != 1:
            raise DataError(
                f"{dataset.id}: expected real without action_repeat, got one of "
                f"{real.frames_per_step}: recorded actions cannot be held after the fact"
            )
        self.real = real
        seen = real if raw else real.model_copy(update={"preprocessing": []})
        self.frames = FrameSteps(seen, dataset.observation_space)
        space = dataset.action_space
        self.action: BoxAction | DiscreteAction
        if isinstance(space, gym.spaces.Discrete) and space.start == 0:
            self.action = DiscreteAction(n=int(space.n))
        elif isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
            self.action = BoxAction(size=space.shape[0])
            self._low, self._high = space.low.astype(np.float64), space.high.astype(np.float64)
            for step in seen.preprocessing:
                if isinstance(step, RescaleAction):
                    self._low, self._high = np.array(step.low), np.array(step.high)
        else:
            raise DataError(
                f"{dataset.id}: expected Discrete (from 0) or one-dimensional Box actions, "
                f"got {space}"
            )

    def episodes(self, numbers: range, policy: str) -> Iterator[Episode]:
        """Episodes by number, one at a time."""
        notes = self._dataset.storage.get_episode_metadata(numbers)
        recorded = self._dataset.iterate_episodes(numbers)
        for number, episode, note in zip(numbers, recorded, notes, strict=True):
            length = len(episode.rewards)
            ends = np.asarray(episode.terminations) | np.asarray(episode.truncations)
            if length < 1 or len(episode.observations) != length + 1 or ends[:-1].any():
                raise DataError(
                    f"{self._dataset.id}: episode {number}: expected T ≥ 1 steps, T + 1 "
                    f"observations and no end before the last, found {length} steps, "
                    f"{len(episode.observations)} observations, ends at {np.flatnonzero(ends)}"
                )
            yield Episode(
                frames=np.stack([self.frames(frame) for frame in episode.observations]),
                actions=self._actions(np.asarray(episode.actions), number),
                rewards=np.asarray(episode.rewards, np.float32),
                terminated=bool(episode.terminations[-1]),
                truncated=bool(episode.truncations[-1]),
                seed=int(note.get("seed", -1)),
                policy=str(note.get("policy", policy)),
                real_steps=int(note.get("real_steps", length)),
            )

    def _actions(self, actions: NDArray[Any], number: int) -> NDArray[Any]:
        if isinstance(self.action, DiscreteAction):
            return actions.astype(np.int64)
        values = actions.astype(np.float64)
        # As they are where that is what they mean: mapped there and back, some would round.
        if (self._low != -1.0).any() or (self._high != 1.0).any():
            values = (values - self._low) / (self._high - self._low) * 2.0 - 1.0
        if not (np.abs(values) <= 1.0 + 1e-6).all():
            raise DataError(
                f"{self._dataset.id}: episode {number}: expected actions in {self._low.tolist()} … "
                f"{self._high.tolist()}, found {actions.min()} to {actions.max()}; declare a "
                "rescale_action step with their true low and high"
            )
        return values.clip(-1.0, 1.0).astype(np.float32)


def _stored_spec(dataset_id: str, text: object) -> RealSpec:
    try:
        return RealSpec.model_validate_json(str(text))
    except ValidationError as error:
        raise DataError(f"{dataset_id}: metadata {KEY}: {error}") from error
