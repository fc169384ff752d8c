"""The random numbers of a batch, drawn for a block of steps at a time: a step alone is dear."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.clock import Clock
from dreamenv.dream.draws import EpisodeDraw, StepDraw, draw_episodes, draw_steps
from dreamenv.models.world_model import Noise, NoiseShape

ROW_STEPS = 16_384
"""Rows times steps drawn at once: a draw is some hundred operations, dear each for few numbers."""
LONGEST_BLOCK = 64
"""Steps drawn at once for few lanes."""
STALE_SHARE = 8
"""The next episodes of one lane in so many are due before any is drawn: together they cost less."""

Indices = NDArray[np.intp]


class NoiseBlocks:
    """A cache of what :mod:`dreamenv.dream.draws` gives at each lane's clock.

    Two blocks of steps are held for every lane: of this episode from where the lane is, and of the
    next one from its beginning, so that a lane whose episode ends in mid-block costs a copy and
    not a draw of its own. Entries are labelled with the clock they were drawn for, and drawn again
    where that is not what the clock says: a seed, a restore or a branch need no telling.

    Args:
        shape: what the model wants.
        clock: where the lanes are; read at each call.
        rows: length of the batches handed out, at least the number of lanes; rows beyond the lanes
            hold constants.
        device: where the numbers are wanted.
    """

    def __init__(self, shape: NoiseShape, clock: Clock, rows: int, device: torch.device) -> None:
        lanes = len(clock.seed)
        self._shape, self._clock, self._device = shape, clock, device
        self._steps = max(1, min(LONGEST_BLOCK, ROW_STEPS // rows))
        self._cursor = self._steps
        self._now = self._constants(rows)
        self._now_for = np.full((3, lanes), -1, np.int64)  # seed, episode, step of column 0
        self._next = self._constants(lanes)
        self._next_begin = EpisodeDraw(
            start=np.zeros(lanes, np.int64),
            temperature=np.zeros(lanes, np.float32),
            begin=torch.empty(lanes, shape.start_uniform, device=device),
        )
        self._next_for = np.full((2, lanes), -1, np.int64)  # seed, episode

    def begin(self, lanes: Indices) -> EpisodeDraw:
        """The numbers for the episodes that these lanes' clocks have just begun."""
        if not self._foreseen(lanes).all():
            return draw_episodes(self._shape, *self._at(lanes))
        held = self._next_begin
        return EpisodeDraw(held.start[lanes], held.temperature[lanes], held.begin[self._to(lanes)])

    def take(self, needed: NDArray[np.bool_]) -> tuple[Noise, NDArray[np.float32]]:
        """The numbers of the masked lanes' current step; others hold anything.

        Returns:
            The model's, in rows, and float32 ``[lanes]`` for the termination.
        """
        clock = self._clock
        if self._cursor == self._steps:
            self._cursor = 0
            self._now_for[:] = -1  # columns before the one an entry was drawn at are older ones
            self._look_ahead()
        wanted = np.stack([clock.seed, clock.episode, clock.step - self._cursor])
        stale = np.flatnonzero(needed & (wanted != self._now_for).any(axis=0))
        if len(stale):
            self._now_for[:, stale] = wanted[:, stale]
            copied = self._foreseen(stale) & (clock.step[stale] == 0)
            self._copy_next(stale[copied])
            self._draw_now(stale[~copied])
        now, at = self._now, self._cursor
        self._cursor += 1
        return Noise(now.uniform[at], now.normal[at]), now.termination[at]

    def _foreseen(self, lanes: Indices) -> NDArray[np.bool_]:
        """Of these lanes, those whose current episode was drawn as their next one."""
        clock = self._clock
        seed, episode = self._next_for[:, lanes]
        same: NDArray[np.bool_] = (seed == clock.seed[lanes]) & (episode == clock.episode[lanes])
        return same

    def _copy_next(self, lanes: Indices) -> None:
        if len(lanes):
            left, at, held = self._steps - self._cursor, self._to(lanes), self._next
            self._put_now(
                lanes,
                StepDraw(
                    uniform=held.uniform[:left].index_select(1, at),
                    normal=held.normal[:left].index_select(1, at),
                    termination=held.termination[:left, lanes],
                ),
            )

    def _draw_now(self, lanes: Indices) -> None:
        if len(lanes):
            first = self._to(self._clock.step[lanes])
            left = self._steps - self._cursor
            self._put_now(lanes, draw_steps(self._shape, *self._at(lanes), first, left))

    def _put_now(self, lanes: Indices, drawn: StepDraw) -> None:
        _put(self._now, self._cursor, lanes, self._to(lanes), drawn)

    def _look_ahead(self) -> None:
        """Draw the next episodes that are due, if enough are."""
        clock = self._clock
        following = np.stack([clock.seed, clock.episode + 1])
        due = np.flatnonzero((following != self._next_for).any(axis=0) & (clock.seed >= 0))
        if len(due) * STALE_SHARE < len(clock.seed):
            return
        self._next_for[:, due] = following[:, due]
        at, (seed, episode) = self._to(due), self._at(due)
        drawn = draw_episodes(self._shape, seed, episode + 1)
        held = self._next_begin
        held.start[due], held.temperature[due] = drawn.start, drawn.temperature
        held.begin.index_copy_(0, at, drawn.begin)
        steps = draw_steps(self._shape, seed, episode + 1, torch.zeros_like(seed), self._steps)
        _put(self._next, 0, due, at, steps)

    def _at(self, lanes: Indices) -> tuple[Tensor, Tensor]:
        return self._to(self._clock.seed[lanes]), self._to(self._clock.episode[lanes])

    def _to(self, array: NDArray[np.int64] | Indices) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _constants(self, rows: int) -> StepDraw:
        steps, shape, device = self._steps, self._shape, self._device
        return StepDraw(
            uniform=torch.full((steps, rows, shape.uniform), 0.5, device=device),
            normal=torch.zeros(steps, rows, shape.normal, device=device),
            termination=np.full((steps, len(self._clock.seed)), 0.5, np.float32),
        )


def _put(into: StepDraw, first: int, lanes: Indices, at: Tensor, drawn: StepDraw) -> None:
    """Copy what was drawn for some lanes (``at`` on the device) to their columns."""
    into.uniform[first:].index_copy_(1, at, drawn.uniform)
    into.normal[first:].index_copy_(1, at, drawn.normal)
    into.termination[first:, lanes] = drawn.termination
