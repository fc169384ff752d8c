"""Arrays, lane numbers, reset masks and options, checked before anything is done with them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_array(name: str, value: Any, expected: str) -> NDArray[Any]:
    """The value as an array, where NumPy can make one of it.

    Raises:
        ValueError: it cannot.
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors with gradients
        raise ValueError(f"{name}: no array ({error}); expected {expected}.") from error


def option_dict(options: Any) -> dict[str, Any]:
    """A copy of the options of a reset, empty for None.

    Raises:
        ValueError: no mapping.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"options is {options!r}; expected a dict of options by name, or None.")
    return dict(options or {})


def lane_indices(
    lanes: Iterable[Any] | int | None, num_lanes: int, *, repeats: bool = False
) -> list[int]:
    """Lane numbers as a list: all of them if None, one if an integer.

    Args:
        lanes: which lanes, from 0 to ``num_lanes - 1``.
        num_lanes: how many there are.
        repeats: whether a lane may be named twice.

    Raises:
        ValueError: no lane number, out of range, or repeated.
    """
    if lanes is None:
        return list(range(num_lanes))
    named = list(lanes) if isinstance(lanes, Iterable) else [lanes]
    indices = []
    for lane in named:
        try:
            index = operator.index(lane)
        except TypeError:
            index = -1
        if isinstance(lane, bool | np.bool_) or not 0 <= index < num_lanes:
            raise ValueError(
                f"lanes holds {lane!r}; expected lane numbers from 0 to {num_lanes - 1}."
            )
        indices.append(index)
    if not repeats and len(set(indices)) != len(indices):
        raise ValueError(f"lanes is {indices}; expected each lane once.")
    return indices


def check_reset_mask(mask: Any, num_lanes: int) -> NDArray[np.bool_]:
    """A copy of ``options["reset_mask"]``, refused as Gymnasium's own vector envs refuse it.

    Raises:
        TypeError: no NumPy array of bools.
        ValueError: wrong shape, or no lane is to be reset.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        kind = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
        raise TypeError(
            f"options['reset_mask'] is of type {kind}; expected a NumPy array of bool: "
            "np.asarray(mask, bool)."
        )
    if mask.shape != (num_lanes,):
        raise ValueError(
            f"options['reset_mask'] has shape {mask.shape}; expected {(num_lanes,)}, one a lane."
        )
    if not mask.any():
        raise ValueError(
            "options['reset_mask'] names no lane; expected at least one True. "
            "Leave reset out where no lane is to be reset."
        )
    return mask.copy()
