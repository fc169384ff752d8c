"""Collect episodes of a real env: in parallel, resumable, the same whoever does the work."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np

from dreamenv.config import RealSpec
from dreamenv.data.lock import sole_writer
from dreamenv.data.manifest import (
    Manifest,
    describe_actions,
    installed_versions,
    write_manifest,
)
from dreamenv.data.rollouts import Rollouts, finished_shards
from dreamenv.data.shards import read_shard, remove_unfinished
from dreamenv.data.workers import EpisodeSummary, run_shards, spend
from dreamenv.errors import DataError
from dreamenv.preprocess import build_env
from dreamenv.progress import Progress, silent


@dataclass(frozen=True)
class CollectConfig:
    """What to collect. All but ``workers`` and ``out`` decide the data."""

    real: RealSpec
    out: Path
    episodes: int
    seed: int = 0
    workers: int = 1
    """Processes; 1 works in this process."""
    policy: str = "random"
    """``"random"``, or the path of a Stable-Baselines3 ``.zip``. Such a file holds pickled Python,
    which runs as it is loaded: use only your own."""
    dream: str | None = None
    """The package through which a trained policy sees: a path or id."""
    hold: int = 4
    """Random actions are held for 1 to this many decisions at most, each episode has its own."""
    noise: float = 0.0
    """Top of the range of a trained policy's exploration noise, in units of action."""
    deterministic: bool = False
    """Use the policy's mode instead of sampling it."""
    random_prefix: int = 0
    """A trained policy's episodes begin with 0 to this many decisions of random actions."""
    max_decisions: int | None = None
    """Truncate episodes after so many decisions; None leaves the env's limit alone."""
    patience: int | None = None
    """Truncate episodes after so many decisions without a positive reward."""
    episodes_per_shard: int = 8
    real_steps: int | None = None
    """A budget of real frames, at which the last episode is cut, between decisions; ``episodes`` is
    then the most there may be. Where one is cut follows from those before: one process, an episode
    a shard."""

    def __post_init__(self) -> None:
        least = dict(episodes=1, seed=0, workers=1, hold=1, random_prefix=0, episodes_per_shard=1)
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name}: expected at least {bound}, got {getattr(self, name)}")
        for name in ("max_decisions", "patience", "real_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1 or None, got {value}")
        if self.real_steps is not None and self.real_steps < self.real.frames_per_step:
            raise ValueError(
                f"real_steps: expected at least the {self.real.frames_per_step} frames of a "
                f"decision, got {self.real_steps}"
            )
        if not 0.0 <= self.noise <= 10.0:
            raise ValueError(f"noise: expected 0 to 10, got {self.noise}")
        if (self.policy == "random") != (self.dream is None):
            raise ValueError(
                "policy and dream: expected a policy's path together with the dream it was "
                f'trained in, or "random" without, got {self.policy!r} and {self.dream!r}'
            )


def collect(config: CollectConfig, progress: Progress = silent) -> Rollouts:
    """Collect ``config.episodes`` episodes into the folder ``config.out``.

    An episode follows from (seed, its number) alone, however many workers there are and however
    often the collection is killed: call it again, and it goes on with the shards that are missing.
    Progress counts episodes, those of earlier runs included; its figures are the last episode's
    ``return`` and the ``frames`` of the real env behind all.

    With several workers a script must guard its entry (``if __name__ == "__main__":``), as always
    with spawned processes.

    Raises:
        DataError: the folder holds something else, another collection runs in it, or the
            env is not what the spec says.
        PolicyError: the policy's file is not one, or does not fit the dream.
        RuntimeError: a worker failed (with its traceback).
    """
    manifest = plan(config)
    config.out.mkdir(parents=True, exist_ok=True)
    with sole_writer(config.out):
        write_manifest(config.out, manifest)
        remove_unfinished(config.out)
        done = finished_shards(config.out, manifest)
        found = [e for index in done for e in read_shard(config.out, index, manifest)]
        episodes, real_steps = len(found), sum(e.real_steps for e in found)

        def report(episode: EpisodeSummary) -> None:
            nonlocal episodes, real_steps
            episodes, real_steps = episodes + 1, real_steps + episode.real_steps
            figures = {"return": episode.total_reward, "frames": real_steps}
            progress("collect", episodes, config.episodes, figures)

        progress("collect", episodes, config.episodes, {"frames": real_steps})
        if config.real_steps is not None:
            spend(config, manifest, found, report)
        else:
            missing = sorted(set(range(len(manifest.shards))) - set(done))
            run_shards(config, manifest, missing, report)
    return Rollouts.open(config.out)


def plan(config: CollectConfig) -> Manifest:
    """The manifest of what ``config`` would collect; makes the env once to see its spaces."""
    env = build_env(config.real)
    try:
        space = env.observation_space
        assert isinstance(space, gym.spaces.Box)
        source: dict[str, str | int | float | bool | None] = {
            "seed": config.seed,
            "hold": config.hold,
            "noise": config.noise,
            "deterministic": config.deterministic,
            "random_prefix": config.random_prefix,
            "max_decisions": config.max_decisions,
            "patience": config.patience,
        }
        if config.real_steps is not None:
            source["real_steps"] = config.real_steps
        if config.dream is not None:
            from dreamenv.packages import load_package

            source["policy_sha256"] = _digest(Path(config.policy))
            source["dream"] = load_package(config.dream).identity
        return Manifest(
            real=config.real,
            observation_shape=list(space.shape),
            observation_dtype="uint8" if space.dtype == np.uint8 else "float32",
            action=describe_actions(env),
            episodes=config.episodes,
            episodes_per_shard=1 if config.real_steps is not None else config.episodes_per_shard,
            policy=config.policy if config.dream is None else Path(config.policy).name,
            source=source,
            versions=installed_versions(),
        )
    finally:
        env.close()


def _digest(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"policy {path}: expected a Stable-Baselines3 .zip file, found none")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
