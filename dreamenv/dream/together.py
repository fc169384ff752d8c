"""Steps of several parts of one dream, run as one batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from dreamenv_client.lanes import LaneStep
from numpy.typing import NDArray

from dreamenv.dream.beginning import Beginning

if TYPE_CHECKING:
    from dreamenv.dream.part import Part


class Turn(NamedTuple):
    """A step of a part, checked: what :meth:`~dreamenv.dream.part.Part.check` gives."""

    part: Part
    actions: NDArray[Any]
    """``[lanes, *action]``; not copied, if it was right as it was given."""
    reset: NDArray[np.bool_] | None = None
    """``[lanes]``: those that begin an episode; None if none does."""
    seeds: NDArray[np.int64] | None = None
    """``[lanes]``: of those, -1 for none of its own; None for none at all."""
    beginning: Beginning | None = None
    """Of those, what was asked of their starts."""


def step_together(turns: Sequence[Turn]) -> list[LaneStep]:
    """Run several parts' steps as one batch.

    What a lane shows is bitwise the same as if its part had been stepped alone.

    Args:
        turns: of different parts of one dream, each checked since its part was last called.

    Returns:
        What each part shows, in order. Arrays are parts of larger ones, which no later call writes
        to.

    Raises:
        ValueError: parts of different dreams, or one twice; nothing has changed then.
        RuntimeError: a part was closed, or its lanes cannot be stepped (any more); likewise.
    """
    if not turns:
        return []
    parts = [turn.part for turn in turns]
    table = parts[0].table
    for part in parts:
        if part.table is not table:
            raise ValueError("the parts are of different dreams: step those of each by themselves.")
        if part.closed or table.closed:
            raise RuntimeError("a part was closed after its step was checked.")
    with torch.inference_mode():
        if len(turns) == 1:
            turn = turns[0]
            turn.part.require_going(turn.reset)
            begins = [] if turn.reset is None else [(np.flatnonzero(turn.reset), turn)]
            return [table.step(parts[0].at, turn.actions, turn.reset, begins)]
        if len(set(map(id, parts))) < len(parts) or any(part.whole for part in parts):
            raise ValueError("parts share lanes: each can be stepped once.")
        return _step_several(turns)


def _step_several(turns: Sequence[Turn]) -> list[LaneStep]:
    table = turns[0].part.table
    counts = [len(turn.actions) for turn in turns]
    bounds = np.cumsum([0, *counts]).tolist()
    at = np.concatenate([turn.part.at for turn in turns])
    reset, begins = None, []
    if any(turn.reset is not None for turn in turns):
        reset = np.zeros(len(at), np.bool_)
        for turn, first in zip(turns, bounds, strict=False):
            if turn.reset is not None:
                reset[first : first + len(turn.reset)] = turn.reset
                begins.append((np.flatnonzero(turn.reset) + first, turn))
    if not table.can_step(at, reset):
        for turn in turns:
            turn.part.require_going(turn.reset)
    shown = table.step(at, np.concatenate([turn.actions for turn in turns]), reset, begins)
    names = list(shown.info)
    arrays: list[NDArray[Any]] = [shown.observation, shown.reward]
    arrays += [shown.terminated, shown.truncated, *shown.info.values()]
    each = counts[0]
    pieces: Iterable[Iterable[NDArray[Any]]]
    if counts.count(each) == len(counts):  # iterating costs half of slicing
        pieces = zip(*(a.reshape(-1, each, *a.shape[1:]) for a in arrays), strict=True)
    else:
        pieces = (
            [array[first:after] for array in arrays] for first, after in itertools.pairwise(bounds)
        )
    return [
        LaneStep(observation, reward, terminated, truncated, dict(zip(names, info, strict=True)))
        for observation, reward, terminated, truncated, *info in pieces
    ]
