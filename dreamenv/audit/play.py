"""Play whole episodes in a dream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from dreamenv_client.lanes import Lanes
from numpy.typing import NDArray

from dreamenv.data.policies import RandomPolicy
from dreamenv.data.rollouts import Episode
from dreamenv.progress import Progress, silent

LATENT_EVERY = 5
"""Decisions from one kept latent to the next."""
Act = Callable[[NDArray[Any]], NDArray[Any]]
"""Actions ``[lanes, ...]`` for observations ``[lanes, ...]``."""


@dataclass(frozen=True)
class Played:
    """What an episode paid, dreamed or real."""

    rewards: NDArray[np.float64]
    """``[T]``, one a decision."""
    terminated: bool
    latents: NDArray[np.float32] | None = None
    """Of some of a dreamed episode's moments, ``[n, latent]``."""

    @classmethod
    def of(cls, episode: Episode) -> Played:
        """A real episode without its observations."""
        return cls(episode.rewards.astype(np.float64), episode.terminated)

    @property
    def total(self) -> float:
        """The return, undiscounted."""
        return float(self.rewards.sum())

    def __len__(self) -> int:
        return len(self.rewards)


def play(
    lanes: Lanes,
    act: Act,
    *,
    first_seed: int,
    stage: str,
    latent: int = 0,
    progress: Progress = silent,
) -> list[Played]:
    """One episode a lane, lane i seeded ``first_seed + i``. The lanes need a horizon.

    Args:
        latent: so many first numbers of an observation are its latent; 0 keeps none.

    Lanes whose episode is over are begun again, unread, until the last one is done: so the act
    function always sees all lanes.
    """
    count = lanes.num_lanes
    seen = lanes.reset(seeds=range(first_seed, first_seed + count))
    rewards: list[list[float]] = [[] for _ in range(count)]
    latents: list[list[NDArray[np.float32]]] = [[] for _ in range(count)]
    terminated = np.zeros(count, np.bool_)
    playing = np.ones(count, np.bool_)
    over = np.zeros(count, np.bool_)
    progress(stage, 0, count)
    while playing.any():
        # A lane that is over begins again: its action is not taken.
        seen = lanes.step(act(seen.observation), reset=over)
        for lane in np.flatnonzero(playing):
            rewards[lane].append(float(seen.reward[lane]))
            if latent and len(rewards[lane]) % LATENT_EVERY == 0:
                latents[lane].append(seen.observation[lane, :latent].copy())
        over = seen.terminated | seen.truncated
        terminated |= playing & seen.terminated
        playing &= ~over
        progress(stage, count - int(playing.sum()), count)
    return [
        Played(np.asarray(paid), bool(ended), np.stack(shown) if shown else None)
        for paid, ended, shown in zip(rewards, terminated, latents, strict=True)
    ]


def random_act(space: gym.Space[Any], lanes: int, hold: int, seed: int) -> Act:
    """The random policy that collects real episodes, in every lane.

    Its holds go on from a lane's first episode into those that are not read.
    """
    policies = [RandomPolicy(space, hold) for _ in range(lanes)]
    streams = np.random.SeedSequence(seed).spawn(lanes)
    for policy, stream in zip(policies, streams, strict=True):
        # It looks at nothing.
        policy.begin(np.zeros(0, np.uint8), np.random.default_rng(stream))
    return lambda observation: np.stack([policy.act() for policy in policies])
