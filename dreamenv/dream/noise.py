"""The random numbers of a table of lanes, drawn a block of steps at a time: one alone is dear."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.clock import Clock, Status
from dreamenv.dream.draws import EpisodeDraw, StepDraw, draw_episodes, draw_steps
from dreamenv.models.world_model import Noise, NoiseShape

ROW_STEPS = 16_384
"""Rows times steps drawn at once: a draw is some hundred operations, dear each for few numbers."""
LONGEST_BLOCK = 64
"""Steps drawn at once for few lanes."""
STALE_SHARE = 8
"""The next episodes of one lane in so many are due before any is drawn: together they cost less."""
COMPANY = 64
"""Lanes that have used up most of their blocks join a draw up to this many; beyond, a draw for few
would keep them waiting for numbers of others, at no less a price for each."""
HELD = 262_144
"""Rows times steps held at most, unless there are more rows."""

Indices = NDArray[np.intp]


class NoiseBlocks:
    """A cache of what :mod:`dreamenv.dream.draws` gives at each lane's clock.

    Two blocks of steps are held for every lane: of this episode from where the lane is, and of the
    next one from its beginning, so that a lane whose episode ends in mid-block costs a copy and
    not a draw of its own. Entries are labelled with the clock they were drawn for, and drawn again
    where that is not what the clock says: a seed, a restore or a branch need no telling.

    All lanes together (:meth:`take`) keep abreast, so that their numbers lie side by side. Some of
    them (:meth:`take_some`) are each somewhere in a block of their own, and share draws with others
    that will soon have used up theirs.

    Args:
        shape: what the model wants.
        clock: where the lanes are; read at each call.
        rows: length of the batches of all lanes, at least their number; rows beyond the lanes
            hold constants.
        device: where the numbers are wanted.
    """

    def __init__(self, shape: NoiseShape, clock: Clock, rows: int, device: torch.device) -> None:
        lanes = len(clock.seed)
        self._shape, self._clock, self._device, self._rows = shape, clock, device, rows
        self._steps = max(1, min(LONGEST_BLOCK, ROW_STEPS // rows))
        self._depth = max(self._steps, min(LONGEST_BLOCK, HELD // rows))
        self._cursor = self._steps
        self._now = self._zeros(rows)
        self._now_for = np.full((3, lanes), -1, np.int64)  # seed, episode, step of column 0
        self._held = np.zeros((2, lanes), np.int64)  # the first step held, and after the last
        self._next = self._zeros(lanes)
        self._next_begin = EpisodeDraw(
            start=np.zeros(lanes, np.int64),
            temperature=np.zeros(lanes, np.float32),
            begin=torch.empty(lanes, shape.start_uniform, device=device),
        )
        self._next_for = np.full((2, lanes), -1, np.int64)  # seed, episode
        self._next_steps = np.zeros(lanes, np.int64)

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
            copied = self._foreseen(stale) & (clock.step[stale] == 0)
            left = self._steps - self._cursor
            self._copy_next(stale[copied], self._cursor, left)
            self._draw_now(stale[~copied], self._cursor, left)
        now, at = self._now, self._cursor
        self._cursor += 1
        return Noise(now.uniform[at], now.normal[at]), now.termination[at]

    def take_some(
        self, lanes: Indices, needed: NDArray[np.bool_] | None, rows: int
    ) -> tuple[Noise, NDArray[np.float32]]:
        """The numbers of some lanes' current step.

        Args:
            lanes: which, each once.
            needed: ``[len(lanes)]``; others hold anything. None for all.
            rows: length of the batch; what is beyond the lanes holds anything.

        Returns:
            The model's ``[rows, ...]``, and float32 ``[len(lanes)]`` for the termination.
        """
        self._cursor = self._steps  # they are no longer abreast
        ready = self._ready(lanes)
        missing = ~ready if needed is None else needed & ~ready
        if missing.any():
            self._supply(lanes[missing])
            ready |= missing
        column = self._clock.step[lanes] - self._now_for[2, lanes]
        if needed is not None:
            column[~ready] = 0
        at = np.empty(rows, np.int64)
        at[: len(lanes)] = column * self._rows + lanes
        at[len(lanes) :] = at[0]
        now, places = self._now, self._to(at)
        noise = Noise(*(_by_place(part, places) for part in (now.uniform, now.normal)))
        return noise, now.termination[column, lanes]

    def _ready(self, lanes: Indices) -> NDArray[np.bool_]:
        """Whether the numbers of these lanes' current step are held."""
        clock, (first, after) = self._clock, self._held[:, lanes]
        seed, episode, _ = self._now_for[:, lanes]
        step = clock.step[lanes]
        same: NDArray[np.bool_] = (seed == clock.seed[lanes]) & (episode == clock.episode[lanes])
        return same & (first <= step) & (step < after)

    def _supply(self, lanes: Indices) -> None:
        """See that the numbers of these lanes' current step are held, and with one draw those of
        others that will want some soon."""
        clock = self._clock
        copied = self._copyable(lanes)
        self._copy_next(lanes[copied], 0, self._depth)
        drawn = lanes[~copied]
        if not len(drawn):
            return
        if len(drawn) < COMPANY:
            going = np.flatnonzero(clock.status == Status.GOING)
            first, after = self._held[:, going]
            mostly_used = 2 * (clock.step[going] - first) >= after - first
            soon = going[mostly_used | ~self._ready(going)]
            soon = soon[~self._copyable(soon)]
            soon = soon[~np.isin(soon, lanes)]
            drawn = np.concatenate([drawn, soon[: COMPANY - len(drawn)]])
        self._look_ahead()
        self._draw_now(drawn, 0, self._many(drawn))

    def _many(self, lanes: Indices) -> int:
        """Steps to draw at once for these lanes."""
        return max(1, min(self._depth, ROW_STEPS // len(lanes)))

    def _copyable(self, lanes: Indices) -> NDArray[np.bool_]:
        """Of these lanes, those whose block is that of their next episode as it was drawn."""
        return self._foreseen(lanes) & (self._clock.step[lanes] == 0)

    def _foreseen(self, lanes: Indices) -> NDArray[np.bool_]:
        """Of these lanes, those whose current episode was drawn as their next one."""
        clock = self._clock
        seed, episode = self._next_for[:, lanes]
        same: NDArray[np.bool_] = (seed == clock.seed[lanes]) & (episode == clock.episode[lanes])
        return same

    def _copy_next(self, lanes: Indices, column: int, most: int) -> None:
        """Let these lanes' blocks, from a column on, be those held of their next episodes."""
        if len(lanes):
            count = min(most, int(self._next_steps[lanes].min()))
            at, held = self._to(lanes), self._next
            self._put_now(
                lanes,
                column,
                StepDraw(
                    uniform=held.uniform[:count].index_select(1, at),
                    normal=held.normal[:count].index_select(1, at),
                    termination=held.termination[:count, lanes],
                ),
            )

    def _draw_now(self, lanes: Indices, column: int, count: int) -> None:
        """Draw so many steps for these lanes, from a column on."""
        if len(lanes):
            first = self._to(self._clock.step[lanes])
            drawn = draw_steps(self._shape, *self._at(lanes), first, count)
            self._put_now(lanes, column, drawn)

    def _put_now(self, lanes: Indices, column: int, drawn: StepDraw) -> None:
        clock, step = self._clock, self._clock.step[lanes]
        self._now_for[:, lanes] = clock.seed[lanes], clock.episode[lanes], step - column
        self._held[:, lanes] = step, step + len(drawn.termination)
        _put(self._now, column, lanes, self._to(lanes), drawn)

    def _look_ahead(self) -> None:
        """Draw the next episodes that are due, if enough are."""
        clock = self._clock
        following = np.stack([clock.seed, clock.episode + 1])
        begun = clock.seed >= 0
        due = np.flatnonzero((following != self._next_for).any(axis=0) & begun)
        if not len(due) or len(due) * STALE_SHARE < begun.sum():
            return
        count = self._many(due)
        self._next_for[:, due] = following[:, due]
        self._next_steps[due] = count
        at, (seed, episode) = self._to(due), self._at(due)
        drawn = draw_episodes(self._shape, seed, episode + 1)
        held = self._next_begin
        held.start[due], held.temperature[due] = drawn.start, drawn.temperature
        held.begin.index_copy_(0, at, drawn.begin)
        steps = draw_steps(self._shape, seed, episode + 1, torch.zeros_like(seed), count)
        _put(self._next, 0, due, at, steps)

    def _at(self, lanes: Indices) -> tuple[Tensor, Tensor]:
        return self._to(self._clock.seed[lanes]), self._to(self._clock.episode[lanes])

    def _to(self, array: NDArray[np.int64] | Indices) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _zeros(self, rows: int) -> StepDraw:
        # Zeros are memory that is not there until it is written to: a large table costs no more
        # than its lanes in use.
        steps, shape, device = self._depth, self._shape, self._device
        return StepDraw(
            uniform=torch.zeros(steps, rows, shape.uniform, device=device),
            normal=torch.zeros(steps, rows, shape.normal, device=device),
            termination=np.zeros((steps, len(self._clock.seed)), np.float32),
        )


def _put(into: StepDraw, first: int, lanes: Indices, at: Tensor, drawn: StepDraw) -> None:
    """Copy what was drawn for some lanes (``at`` on the device) to their columns."""
    after = first + len(drawn.termination)
    into.uniform[first:after].index_copy_(1, at, drawn.uniform)
    into.normal[first:after].index_copy_(1, at, drawn.normal)
    into.termination[first:after, lanes] = drawn.termination


def _by_place(block: Tensor, places: Tensor) -> Tensor:
    """``[rows, width]`` of a block ``[steps, lanes, width]``; places count lanes, then steps."""
    return block.view(-1, block.shape[-1]).index_select(0, places)
