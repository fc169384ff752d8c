"""Where each lane is: its seed, episode, step, and whether its episode is over."""

from __future__ import annotations

import secrets
from enum import IntEnum

import numpy as np
from dreamenv_client.seeds import SEED_LIMIT
from numpy.typing import NDArray

Rows = NDArray[np.intp] | slice
"""Numbers of lanes, each once; or a slice that means all of them, which spares copies."""
EVERY = slice(None)


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
        at: Rows,
        stepped: NDArray[np.bool_] | None,
        terminated: NDArray[np.bool_],
        horizon: NDArray[np.int64],
        distrusted: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count a decision in those of these lanes that were stepped, and see whether it ended
        their episodes.

        Args:
            at: which lanes are meant.
            stepped: mask of those that were stepped; None for all.
            terminated: for each, whether the model ends its episode.
            horizon: of each.
            distrusted: for each, whether the model is too unsure to go on; None for none.
        """
        step = self.step[at] + (1 if stepped is None else stepped)
        self.step[at] = step
        ends = terminated | (step >= horizon)
        if distrusted is not None:
            ends |= distrusted
        if stepped is not None:
            ends &= stepped
        if ends.any():
            over = np.where(terminated, Status.TERMINATED, Status.TRUNCATED)
            self.status[at] = np.where(ends, over, self.status[at])

    def require_going(self, at: Rows, lanes: NDArray[np.bool_] | None) -> None:
        """Refuse to step lanes that cannot be.

        Args:
            at: which lanes are meant; messages count from the first of them.
            lanes: mask of those that are to be stepped; None for all.

        Raises:
            RuntimeError: one was never reset, or its episode is over.
        """
        status = self.status[at]
        stuck = status != Status.GOING
        if lanes is not None:
            stuck &= lanes
        if stuck.any():
            unbegun = np.flatnonzero(stuck & (status == Status.UNBEGUN)).tolist()
            over = np.flatnonzero(stuck & (status != Status.UNBEGUN)).tolist()
            parts = [f"lanes {unbegun} were never reset"] if unbegun else []
            parts += [f"the episode is over in lanes {over}"] if over else []
            raise RuntimeError(f"{' and '.join(parts)}: reset them before the next step.")
