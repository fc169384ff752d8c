"""The lengths that batches of any number of rows are padded to: few, and each found stable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dreamenv.dream.rows import RowPlan

OCTAVE = 8
"""Lengths between one and its double: at most an eighth of a batch is padding, and no more lengths
are tried than a table of any size can bear."""


@dataclass(frozen=True)
class Length:
    """How a batch of some number of rows is run."""

    rows: int
    """What it is padded to."""
    plan: RowPlan


class Lengths:
    """Of the batches of one model.

    Args:
        try_rows: the plan for a batch of so many rows, found by a self-test or fixed.
        whole: the most rows: they are padded by no more than the plan's multiple.
    """

    def __init__(self, try_rows: Callable[[int], RowPlan], whole: int) -> None:
        self._try, self._whole = try_rows, whole
        self.plan = try_rows(1)
        """Of the shortest batch; all share its ``multiple``."""
        self._known: dict[int, Length] = {}
        self._tried: dict[int, RowPlan] = {}

    def of(self, rows: int) -> Length:
        """How so many rows are run. The first time, a self-test may run a length a few times."""
        known = self._known.get(rows)
        if known is None:
            known = self._known[rows] = self._find(rows)
        return known

    def all(self) -> list[int]:
        """The most rows that fit each length there is, ascending."""
        found, rows = [], 1
        while rows <= self._whole:
            found.append(min(self._rounded(rows), self._whole))
            rows = found[-1] + 1
        return found

    def _find(self, rows: int) -> Length:
        length = self._rounded(rows)
        plan = self._tried.get(length)
        if plan is None:
            plan = self._tried[length] = self._try(length)
        return Length(length if plan.tile is None else plan.padded(rows), plan)

    def _rounded(self, rows: int) -> int:
        """Up to the plan's multiple and, where lengths are tried, to few figures."""
        plan = self.plan
        if not plan.stable or plan.tile is not None:
            return plan.padded(rows)
        units = -(-rows // plan.multiple)
        step = 1 << max(0, (units - 1).bit_length() - OCTAVE.bit_length())
        return min(-(-units // step) * step * plan.multiple, plan.padded(self._whole))
