"""The real and dreamed episodes that an audit compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dreamenv.audit.play import Act, Played, play, random_act
from dreamenv.config import PackageConfig
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.policies import load_policy, predict
from dreamenv.data.rollouts import Episode, Rollouts
from dreamenv.dream import Dream
from dreamenv.dream.knobs import check_knobs
from dreamenv.errors import DataError, PolicyError
from dreamenv.models.world_model import ObservationKind
from dreamenv.packages import Package
from dreamenv.progress import Progress, silent
from dreamenv.real import observation_kind
from dreamenv.real_specs import real_horizon

FIRST_SEED = 2**42
"""Collections for audits are seeded from here on: training data are seeded far below, so that no
episode of an audit was trained on. (An episode's env seed is hashed from the collection's into 31
bits: two collections of thousands of episodes share one about once in a thousand.)"""
SEEDS_AN_AUDIT = 2


@dataclass(frozen=True)
class AuditConfig:
    """How much is played and dreamed."""

    episodes: int = 20
    """Real episodes of the policy, and as many of the random one."""
    dream_episodes: int = 200
    """Of each, in the dream: they cost next to nothing."""
    horizon: int = 50
    """Decisions dreamed open loop."""
    samples: int = 8
    """Dreams a window, whose mean is the prediction."""
    fed_samples: int = 16
    """Sampled steps a real decision, for predicted reward and termination."""
    windows: int = 4
    """Open-loop windows an episode."""
    within: int = 20
    """Decisions ahead for which endings are foretold …"""
    within_samples: int = 64
    """… by so many dreams of each moment …"""
    within_moments: int = 20
    """… of about so many an episode: with a hundred episodes, enough to tell errors of 0.02."""
    held_out: int = 200
    """At most so many held-out episodes are looked at, evenly chosen."""
    hold: int = 4
    """The random policy holds its actions for 1 to this many decisions at most."""
    deterministic: bool = False
    """The policy's mode; else it is sampled."""
    seed: int = 0
    workers: int = 1
    """Processes that play the real env."""
    device: str = "cpu"
    """Where the model dreams."""
    knobs: dict[str, Any] = field(default_factory=dict)
    """Temperature, termination and its temperature, and trust of the dream that is played, where
    they are others than the package's."""

    def __post_init__(self) -> None:
        least = dict(
            episodes=2, dream_episodes=2, horizon=1, samples=1, fed_samples=1, windows=1,
            within=1, within_samples=1, within_moments=1, held_out=2, hold=1, seed=0, workers=1,
        )  # fmt: skip
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name}: expected at least {bound}, got {getattr(self, name)}")
        if "horizon" in check_knobs(**self.knobs):
            raise ValueError("horizon: an audit's episodes are as long as real ones; leave it out")

    @classmethod
    def quick(cls) -> AuditConfig:
        """A look, in a minute: wide intervals."""
        return cls(
            episodes=5, dream_episodes=64, samples=4, fed_samples=8, windows=2,
            within_samples=16,
        )  # fmt: skip


def collect_real(
    source: str | Path,
    policy: str | Path | None,
    config: PackageConfig,
    settings: AuditConfig,
    out: Path,
    progress: Progress,
) -> Rollouts:
    """Fresh real episodes of a policy (None: random actions), without exploration noise."""
    first = FIRST_SEED + SEEDS_AN_AUDIT * settings.seed
    name = "real, random" if policy is None else "real"

    def report(
        stage: str, done: int, total: int, figures: Mapping[str, float] | None = None
    ) -> None:
        progress(name, done, total, figures)

    return collect(
        CollectConfig(
            real=config.real,
            out=out,
            episodes=settings.episodes,
            seed=first if policy is None else first + 1,
            workers=settings.workers,
            policy="random" if policy is None else str(policy),
            dream=None if policy is None else str(source),
            hold=settings.hold,
            deterministic=settings.deterministic,
            # Where the real env has no limit, both are given the dream's.
            max_decisions=real_horizon(config.real) or config.defaults.horizon,
            episodes_per_shard=max(1, settings.episodes // (2 * settings.workers)),
        ),
        report,
    )


def play_dream(
    package: Package, policy: str | Path | None, settings: AuditConfig, progress: Progress = silent
) -> list[Played]:
    """The same policy in the dream, started where real episodes start, and truncated where they
    are. What it is paid is what the model says: a package's own ``trust_penalty`` is for learners.
    """
    kind, act = acting(package.config, policy, settings)
    dream = Dream(
        package,
        settings.dream_episodes,
        obs=kind,
        horizon=real_horizon(package.config.real) or package.config.defaults.horizon,
        starts="first",
        device=settings.device,
        **{"trust_penalty": 0.0, **settings.knobs},
    )
    try:
        return play(
            dream,
            act,
            first_seed=FIRST_SEED + settings.seed * settings.dream_episodes,
            stage="dream" if policy else "dream, random",
            latent=0 if kind == "pixels" else package.config.latent,
            progress=progress,
        )
    finally:
        dream.close()


def acting(
    config: PackageConfig, policy: str | Path | None, settings: AuditConfig
) -> tuple[ObservationKind, Act]:
    """What the policy wants to see, and how it acts on a batch of it."""
    if policy is None:
        lanes = settings.dream_episodes
        return "latent", random_act(config.action.space(), lanes, settings.hold, settings.seed)
    model, rng = load_policy(policy), np.random.default_rng(settings.seed)
    kind = observation_kind(config, model.observation_space, str(policy))
    if model.action_space != config.action.space():
        raise PolicyError(
            f"{policy}: expected actions {config.action.space()} as in {config.name}, found "
            f"{model.action_space}; is it another dream's?"
        )
    return kind, lambda observation: predict(model, observation, settings.deterministic, rng)


def open_held_out(data: str | Path | Sequence[str | Path], config: PackageConfig) -> list[Episode]:
    """Episodes that the caller says the model never saw.

    Raises:
        DataError: of another real env than the package's, or fewer than two.
    """
    rollouts = Rollouts.open(data)
    for name, expected, found in (
        ("real", config.real, rollouts.real),
        ("observation_shape", tuple(config.observation_shape), rollouts.observation_shape),
        ("observation_dtype", config.observation_dtype, rollouts.observation_dtype),
        ("action", config.action, rollouts.action),
    ):
        if expected != found:
            raise DataError(f"{data}: {name}: expected {expected} as in the package, found {found}")
    if len(rollouts.episodes) < 2:
        raise DataError(f"{data}: expected at least 2 episodes, found {len(rollouts.episodes)}")
    return rollouts.episodes


def spread(episodes: Sequence[Episode], most: int) -> list[Episode]:
    """At most ``most`` episodes, evenly chosen."""
    picks = np.linspace(0, len(episodes) - 1, min(most, len(episodes)))
    return [episodes[round(i)] for i in picks]
