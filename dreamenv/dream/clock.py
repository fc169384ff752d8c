"""Where each lane is: its seed, episode, step, and whether its episode is over."""

from __future__ import annotations

import secrets
from enum import IntEnum

import numpy as np
from dreamenv_client.seeds import SEED_LIMIT
from numpy.typing import NDArray


class Status(IntEnum):
    """What has become of a lane's episode."""

    UNBEGUN = 0
    GOING = 1
    TERMINATED = 2
    TRUNCATED = 3


class Clock:
    """One entry a lane; the random streams are functions of seed, episode and step."""

    def __init__(self, num_lanes: int) -> None:
        self.seed: NDArray[np.int64] = np.full(num_lanes, -1, np.int64)
        """-1 until the lane's first reset."""
        self.episode: NDArray[np.int64] = np.zeros(num_lanes, np.int64)
        self.step: NDArray[np.int64] = np.zeros(num_lanes, np.int64)
        """Decisions taken in this episode."""
        self.status: NDArray[np.int8] = np.full(num_lanes, Status.UNBEGUN, np.int8)

    def begin(self, lanes: NDArray[np.intp], seeds: NDArray[np.int64]) -> None:
        """A new episode in these lanes: the first under a seed, or the next where that is -1.

        A lane never seeded draws a seed from the operating system.
        """
        unseeded = (seeds < 0) & (self.seed[lanes] < 0)
        if unseeded.any():
            drawn = [secrets.randbelow(SEED_LIMIT) for _ in range(int(unseeded.sum()))]
            seeds = seeds.copy()
            seeds[unseeded] = drawn
        fresh = seeds >= 0
        self.seed[lanes] = np.where(fresh, seeds, self.seed[lanes])
        self.episode[lanes] = np.where(fresh, 0, self.episode[lanes] + 1)
        self.step[lanes] = 0
        self.status[lanes] = Status.GOING

    def advance(
        self,
        lanes: NDArray[np.bool_],
        terminated: NDArray[np.bool_],
        horizon: NDArray[np.int64],
    ) -> None:
        """Count a decision in the masked lanes, and see whether it ended their episodes."""
        self.step += lanes
        ends = lanes & (terminated | (self.step >= horizon))
        if ends.any():
            over = np.where(terminated, Status.TERMINATED, Status.TRUNCATED)
            self.status[ends] = over[ends]

    def require_going(self, lanes: NDArray[np.bool_]) -> None:
        """Refuse to step lanes that cannot be.

        Raises:
            RuntimeError: a masked lane was never reset, or its episode is over.
        """
        stuck = lanes & (self.status != Status.GOING)
        if stuck.any():
            unbegun = np.flatnonzero(stuck & (self.status == Status.UNBEGUN)).tolist()
            over = np.flatnonzero(stuck & (self.status != Status.UNBEGUN)).tolist()
            parts = [f"lanes {unbegun} were never reset"] if unbegun else []
            parts += [f"the episode is over in lanes {over}"] if over else []
            raise RuntimeError(f"{' and '.join(parts)}: reset them before the next step.")
