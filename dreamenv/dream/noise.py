"""The random numbers of a table of lanes, drawn a block of steps at a time: one alone is dear."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.blocks import Blocks, Indices
from dreamenv.dream.clock import Clock, Status
from dreamenv.dream.draws import EpisodeDraw, StepDraw, draw_episodes, draw_steps
from dreamenv.models.world_model import Noise, NoiseShape

ROW_STEPS = 16_384
"""Rows times steps drawn at once: a draw is some hundred operations, dear each for few numbers."""
ROW_STEPS_OF_SOME = 4_096
"""The same where only some lanes step, and others wait for the end of the draw; on a CPU, where the
numbers take longer than the operations."""
LONGEST_BLOCK = 64
"""Steps drawn at once for few lanes."""
STALE_SHARE = 8
"""The next episodes of one lane in so many are due before any is drawn: together they cost less."""
COMPANY = 64
"""Lanes that have used up most of their blocks join a draw up to this many; beyond, a draw for few
would keep them waiting for numbers of others, at no less a price for each."""
HELD = 262_144
"""Rows times steps held at most, unless there are more rows."""


class NoiseBlocks:
    """A cache of what :mod:`dreamenv.dream.draws` gives at each lane's clock.

    Two blocks of steps are held for every lane: of this episode from where the lane is, and of the
    next one from its beginning, so that a lane whose episode ends in mid-block costs a copy and
    not a draw of its own. Blocks are labelled with the clock they were drawn for, and drawn again
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
        self._now = Blocks(shape, lanes, rows, self._depth, device)
        self._next = Blocks(shape, lanes, lanes, self._depth, device)
        self._next_begin = EpisodeDraw(
            start=np.zeros(lanes, np.int64),
            temperature=np.zeros(lanes, np.float32),
            begin=torch.empty(lanes, shape.start_uniform, device=device),
        )

    def begin(self, lanes: Indices) -> EpisodeDraw:
        """The numbers for the episodes that these lanes' clocks have just begun."""
        if not self._foreseen(lanes).all():
            return draw_episodes(self._shape, *self._at(lanes))
        held = self._next_begin
        return EpisodeDraw(held.start[lanes], held.temperature[lanes], held.begin[self._to(lanes)])

    def take(self, needed: NDArray[np.bool_] | None = None) -> tuple[Noise, NDArray[np.float32]]:
        """The numbers of the masked lanes' current step; others hold anything. None for all.

        Returns:
            The model's, in rows, and float32 ``[lanes]`` for the termination.
        """
        clock, now = self._clock, self._now
        if self._cursor == self._steps:
            self._cursor = 0
            now.seed[:] = -1  # columns before the one an entry was drawn at are older ones
            self._look_ahead(ROW_STEPS)
        ready = (clock.seed == now.seed) & (clock.episode == now.episode)
        ready &= clock.step - self._cursor == now.origin
        ready &= clock.step < now.after
        stale = np.flatnonzero(~ready if needed is None else needed & ~ready)
        if len(stale):
            copied = self._copyable(stale)
            left = self._steps - self._cursor
            self._copy_next(stale[copied], self._cursor, left)
            self._draw_now(stale[~copied], self._cursor, left)
        at = self._cursor
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
        now = self._now
        ready = self._ready(lanes)
        if needed is not None:
            ready |= ~needed
        if np.count_nonzero(ready) < len(lanes):
            self._supply(lanes[~ready])
        column = self._clock.step[lanes] - now.origin[lanes]
        if needed is not None:
            column *= needed  # of others it may lie outside
        at = np.empty(rows, np.int64)
        at[: len(lanes)] = column * self._rows + lanes
        at[len(lanes) :] = at[0]
        places = self._to(at)
        noise = Noise(_by_place(now.uniform, places), _by_place(now.normal, places))
        return noise, now.termination[column, lanes]

    def _ready(self, lanes: Indices) -> NDArray[np.bool_]:
        """Whether the numbers of these lanes' current step are held."""
        clock, now = self._clock, self._now
        step = clock.step[lanes]
        ready: NDArray[np.bool_] = clock.seed[lanes] == now.seed[lanes]
        ready &= clock.episode[lanes] == now.episode[lanes]
        ready &= now.first[lanes] <= step
        ready &= step < now.after[lanes]
        return ready

    def _supply(self, lanes: Indices) -> None:
        """See that the numbers of these lanes' current step are held, and with one draw those of
        others that will want some soon."""
        clock, now = self._clock, self._now
        copied = self._copyable(lanes)
        self._copy_next(lanes[copied], 0, self._depth)
        drawn = lanes[~copied]
        if not len(drawn):
            return
        if len(drawn) < COMPANY:
            going = np.flatnonzero(clock.status == Status.GOING)
            used, left = clock.step[going] - now.first[going], now.after[going] - clock.step[going]
            soon = going[(used >= left) | ~self._ready(going)]
            soon = soon[~self._copyable(soon) & ~np.isin(soon, lanes)]
            drawn = np.concatenate([drawn, soon[: COMPANY - len(drawn)]])
        row_steps = ROW_STEPS_OF_SOME if self._device.type == "cpu" else ROW_STEPS
        self._look_ahead(row_steps)
        self._draw_now(drawn, 0, self._at_once(drawn, row_steps))

    def _at_once(self, lanes: Indices, row_steps: int) -> int:
        """Steps to draw at once for these lanes."""
        return max(1, min(self._depth, row_steps // len(lanes)))

    def _copyable(self, lanes: Indices) -> NDArray[np.bool_]:
        """Of these lanes, those that are where the block held of their next episode begins."""
        here = self._foreseen(lanes)
        here &= self._clock.step[lanes] == 0
        return here

    def _foreseen(self, lanes: Indices) -> NDArray[np.bool_]:
        """Of these lanes, those whose current episode was drawn as their next one."""
        clock, held = self._clock, self._next
        same: NDArray[np.bool_] = clock.seed[lanes] == held.seed[lanes]
        same &= clock.episode[lanes] == held.episode[lanes]
        return same

    def _copy_next(self, lanes: Indices, column: int, most: int) -> None:
        """Let these lanes' blocks, from a column on, be those held of their next episodes."""
        if len(lanes):
            count = min(most, int(self._next.after[lanes].min()))
            self._keep(lanes, column, self._next.taken(lanes, self._to(lanes), count))

    def _draw_now(self, lanes: Indices, column: int, count: int) -> None:
        """Draw so many steps for these lanes, from a column on."""
        if len(lanes):
            first = self._to(self._clock.step[lanes])
            drawn = draw_steps(self._shape, *self._at(lanes), first, count)
            self._keep(lanes, column, drawn)

    def _keep(self, lanes: Indices, column: int, drawn: StepDraw) -> None:
        clock = self._clock
        of = clock.seed[lanes], clock.episode[lanes], clock.step[lanes]
        self._now.put(lanes, self._to(lanes), column, of, drawn)

    def _look_ahead(self, row_steps: int) -> None:
        """Draw the next episodes that are due, if enough are."""
        clock, held, begin = self._clock, self._next, self._next_begin
        begun = clock.seed >= 0
        following = clock.episode + 1
        due = np.flatnonzero(((clock.seed != held.seed) | (following != held.episode)) & begun)
        if not len(due) or len(due) * STALE_SHARE < np.count_nonzero(begun):
            return
        seed, episode = clock.seed[due], following[due]
        at, key = self._to(due), (self._to(seed), self._to(episode))
        drawn = draw_episodes(self._shape, *key)
        begin.start[due], begin.temperature[due] = drawn.start, drawn.temperature
        begin.begin.index_copy_(0, at, drawn.begin)
        zero = np.zeros_like(seed)
        steps = draw_steps(self._shape, *key, self._to(zero), self._at_once(due, row_steps))
        held.put(due, at, 0, (seed, episode, zero), steps)

    def _at(self, lanes: Indices) -> tuple[Tensor, Tensor]:
        return self._to(self._clock.seed[lanes]), self._to(self._clock.episode[lanes])

    def _to(self, array: NDArray[np.int64] | Indices) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _by_place(block: Tensor, places: Tensor) -> Tensor:
    """``[rows, width]`` of a block ``[steps, lanes, width]``; places count lanes, then steps."""
    return block.view(-1, block.shape[-1]).index_select(0, places)
