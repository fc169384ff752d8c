"""The model's states of a table of lanes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.models.world_model import State


class _Away(NamedTuple):
    """States that are not in the table."""

    lanes: NDArray[np.intp]
    rows: Tensor
    """The lanes, and again the last for what is padding."""
    state: State


class States:
    """A state for every lane, and more rows that are padding.

    Lanes that were stepped last may well be the next: their states stay as they are, batch and all,
    until something else is asked of the table. So whoever steps alone pays for no copies.

    Args:
        blank: of one row: what a lane holds in which nothing was dreamt yet.
        rows: how many.
    """

    def __init__(self, blank: State, rows: int) -> None:
        self.rows = rows
        self._blank = blank
        self._table: State = {
            name: row.repeat(rows, *(1 for _ in row.shape[1:])) for name, row in blank.items()
        }
        self._device = next(iter(blank.values())).device
        self._away: _Away | None = None

    @property
    def names(self) -> list[str]:
        """Of the tensors."""
        return list(self._table)

    def all(self) -> State:
        """All rows, not copied: for a step, whose result :meth:`keep_all` takes."""
        return self._whole()

    def keep_all(self, state: State) -> None:
        """Let all rows be these."""
        self._table, self._away = state, None

    def some(self, lanes: NDArray[np.intp], rows: int) -> State:
        """Some lanes and padding, in as many rows: for a step, whose result :meth:`keep` takes."""
        away = self._away
        if away is None or not np.array_equal(away.lanes, lanes) or len(away.rows) != rows:
            self._whole()
            at = self._padded(lanes, rows)
            away = self._away = _Away(lanes, at, self._gathered(at))
        return away.state

    def keep(self, state: State) -> None:
        """Let what :meth:`some` gave last be these, padding included."""
        assert self._away is not None, "some() comes before keep()"
        self._away = self._away._replace(state=state)

    def copies(self, lanes: NDArray[np.intp], rows: int | None = None) -> State:
        """Of some lanes, one of which may be named several times, and padding if ``rows`` are more,
        in memory that begins where that of the rows' self-test did."""
        self._whole()
        return self._gathered(self._padded(lanes, len(lanes) if rows is None else rows))

    def put(self, lanes: NDArray[np.intp], state: State) -> None:
        """Set those lanes' states; rows of ``state`` beyond them are padding."""
        at = torch.from_numpy(lanes).to(self._device)
        for name, rows in self._whole().items():
            rows.index_copy_(0, at, state[name][: len(lanes)].to(self._device))

    def wipe(self, lanes: NDArray[np.intp]) -> None:
        """Let nothing be left of those lanes' states."""
        self.put(
            lanes, {n: row.expand(len(lanes), *row.shape[1:]) for n, row in self._blank.items()}
        )

    def _whole(self) -> State:
        """The table, with what was away back in it."""
        away, self._away = self._away, None
        if away is not None:
            count = len(away.lanes)
            for name, rows in self._table.items():
                rows.index_copy_(0, away.rows[:count], away.state[name][:count])
        return self._table

    def _gathered(self, at: Tensor) -> State:
        return {name: rows.index_select(0, at) for name, rows in self._table.items()}

    def _padded(self, lanes: NDArray[np.intp], rows: int) -> Tensor:
        at = np.empty(rows, np.intp)
        at[: len(lanes)] = lanes
        at[len(lanes) :] = lanes[-1:]
        return torch.from_numpy(at).to(self._device)
