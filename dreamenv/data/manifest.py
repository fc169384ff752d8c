"""``manifest.json``: what a folder of rollouts holds, and how it came to be."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import gymnasium as gym
from pydantic import Field, ValidationError

from dreamenv.config import BoxAction, DiscreteAction, RealSpec, Size
from dreamenv.errors import DataError
from dreamenv.strict import Strict

FILE = "manifest.json"
DISTRIBUTIONS = (
    "dreamenv",
    "gymnasium",
    "numpy",
    "box2d",
    "box2d-py",
    "pygame",
    "pygame-ce",
    "vizdoom",
    "mujoco",
    "torch",
    "stable-baselines3",
)


class Manifest(Strict):
    """The folder's first file: written before any shard, and never changed."""

    format_version: Literal[1] = 1
    real: RealSpec
    observation_shape: Annotated[list[Size], Field(min_length=1, max_length=3)]
    """Of one observation."""
    observation_dtype: Literal["uint8", "float32"] = "uint8"
    """Frames are uint8; vectors, in the real env's own units, float32."""
    action: Annotated[BoxAction | DiscreteAction, Field(discriminator="type")]
    episodes: Annotated[int, Field(ge=1, le=10_000_000)]
    """How many the folder has when it is finished."""
    episodes_per_shard: Annotated[int, Field(ge=1)]
    """All shards but the last have this many."""
    policy: str
    """Who acted: ``"random"``, or the policy's name."""
    source: dict[str, str | int | float | bool | None]
    """What else the data follow from: seed, noise, limits, digests of policy and dream."""
    versions: dict[str, str]
    """Of the installed packages that the data may depend on."""

    def shard_size(self, index: int) -> int:
        """Episodes of one planned shard."""
        return min(self.episodes_per_shard, self.episodes - index * self.episodes_per_shard)

    @property
    def shards(self) -> list[int]:
        """Episodes of each planned shard, in order."""
        whole, rest = divmod(self.episodes, self.episodes_per_shard)
        return [self.episodes_per_shard] * whole + ([rest] if rest else [])


def installed_versions() -> dict[str, str]:
    """Version of each installed distribution that collected data may depend on."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_actions(env: gym.Env[object, object]) -> BoxAction | DiscreteAction:
    """The action space of an env made by :func:`dreamenv.preprocess.build_env`, as data."""
    space = env.action_space
    if isinstance(space, gym.spaces.Discrete):
        return DiscreteAction(n=int(space.n))
    assert isinstance(space, gym.spaces.Box)
    return BoxAction(size=space.shape[0])


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of rollouts.

    Raises:
        DataError: there is none, or it does not say what a manifest says.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; expected a folder of rollouts, as `dreamenv collect` leaves it"
        )
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{path}: {error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest if there is none; agree with it if there is one.

    Raises:
        DataError: the folder's manifest differs (naming each field), or the folder holds
            something else.
    """
    path = folder / FILE
    if not path.exists():
        strangers = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if strangers:
            raise DataError(f"{folder}: expected an empty or new folder, found {strangers[:5]}")
        partial = folder / f".{FILE}"
        with partial.open("w") as file:
            file.write(manifest.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        return
    there, asked = (json.loads(m.model_dump_json()) for m in (read_manifest(folder), manifest))
    differs = _differences(there, asked)
    if differs:
        raise DataError(
            f"{path}: the folder was begun with other settings, so its episodes would not match: "
            f"{'; '.join(differs)}. Ask for the same, or choose another folder"
        )


def _differences(there: object, asked: object, at: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(asked, dict):
        keys = sorted(set(there) | set(asked))
        return [
            line
            for key in keys
            for line in _differences(there.get(key), asked.get(key), f"{at}.{key}" if at else key)
        ]
    return [] if there == asked else [f"{at}: the folder has {there!r}, asked for {asked!r}"]
