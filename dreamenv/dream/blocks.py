"""Random numbers of steps, held for each lane of a table."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.draws import StepDraw
from dreamenv.models.world_model import NoiseShape

Indices = NDArray[np.intp]


class Blocks:
    """Of each lane, a block of steps, and of which it is.

    Args:
        lanes: how many.
        rows: at least as many; those beyond hold constants.
        depth: steps that fit a block.
    """

    def __init__(
        self, shape: NoiseShape, lanes: int, rows: int, depth: int, device: torch.device
    ) -> None:
        self.seed: NDArray[np.int64] = np.full(lanes, -1, np.int64)
        """Of the episode that the block is part of; -1 for none."""
        self.episode: NDArray[np.int64] = np.zeros(lanes, np.int64)
        self.first: NDArray[np.int64] = np.zeros(lanes, np.int64)
        """Step that the block begins with."""
        self.after: NDArray[np.int64] = np.zeros(lanes, np.int64)
        """Step that follows its last."""
        self.origin: NDArray[np.int64] = np.zeros(lanes, np.int64)
        """Step whose numbers would lie in column 0: of step s they lie in column s - origin."""
        # Zeros are memory that is not there until it is written to: a large table costs no more
        # than its lanes in use.
        self.uniform = torch.zeros(depth, rows, shape.uniform, device=device)
        self.normal = torch.zeros(depth, rows, shape.normal, device=device)
        self.termination = np.zeros((depth, lanes), np.float32)

    def put(
        self,
        lanes: Indices,
        at: Tensor,
        column: int,
        of: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
        drawn: StepDraw,
    ) -> None:
        """Keep what was drawn for some lanes (``at`` on the device), from a column on.

        Args:
            of: seeds, episodes and first steps.
        """
        count = len(drawn.termination)
        self.seed[lanes], self.episode[lanes], self.first[lanes] = of
        self.after[lanes] = of[2] + count
        self.origin[lanes] = of[2] - column
        columns = slice(column, column + count)
        self.uniform[columns].index_copy_(1, at, drawn.uniform)
        self.normal[columns].index_copy_(1, at, drawn.normal)
        self.termination[columns, lanes] = drawn.termination

    def taken(self, lanes: Indices, at: Tensor, count: int) -> StepDraw:
        """The first so many steps of some lanes' blocks."""
        return StepDraw(
            uniform=self.uniform[:count].index_select(1, at),
            normal=self.normal[:count].index_select(1, at),
            termination=self.termination[:count, lanes],
        )
