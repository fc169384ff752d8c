"""The real envs that are declared as data: ``dreamenv/zoo/real/<env id>.json``."""

from __future__ import annotations

import math
from pathlib import Path

import gymnasium as gym
from pydantic import ValidationError

from dreamenv.config import RealSpec
from dreamenv.errors import DataError

FOLDER = Path(__file__).parent / "zoo" / "real"
LARGEST = 65_536
"""Bytes of a RealSpec file; a larger one is refused unread."""


def load_real_spec(source: str | Path) -> RealSpec:
    """The spec of a declared env id (``"CarRacing-v3"``) or of a JSON file.

    >>> load_real_spec("CarRacing-v3").frames_per_step
    4

    Raises:
        DataError: no such id or file, or the file does not say what a RealSpec says.
    """
    declared = sorted(path.stem for path in FOLDER.glob("*.json"))
    path = FOLDER / f"{source}.json" if str(source) in declared else Path(source)
    if not path.is_file():
        raise DataError(
            f"real env {str(source)!r}: expected one of {', '.join(declared)}, or the path of a "
            "JSON file that declares env_id, kwargs, preprocessing and max_episode_steps"
        )
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: expected at most {LARGEST} bytes, got {path.stat().st_size}")
    try:
        return RealSpec.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{path}: {error}") from error


def real_horizon(real: RealSpec) -> int | None:
    """Decisions after which the real env truncates; None if it has no limit.

    Raises:
        DataError: an env id that is not registered.
    """
    if real.max_episode_steps is not None:
        return real.max_episode_steps
    try:
        frames = gym.spec(real.env_id).max_episode_steps
    except gym.error.Error as error:
        raise DataError(f"real env {real.env_id!r}: expected a registered id; {error}") from error
    return None if frames is None else math.ceil(frames / real.frames_per_step)
