"""Arrays, lane numbers, reset masks and options, checked before anything is done with them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv_client.seeds import SEED_LIMIT


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


def check_mask(mask: Any, num_lanes: int, default: bool) -> NDArray[np.bool_]:
    """A mask of lanes, bool ``[lanes]``; ``default`` everywhere if it is None.

    Raises:
        ValueError: no bool array, or of another length.
    """
    if mask is None:
        return np.full(num_lanes, default)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_lanes,):
        found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
        raise ValueError(f"the mask is {found}; expected a NumPy array, bool ({num_lanes},).")
    return mask


def check_seeds(seeds: Sequence[int | None] | None, num_lanes: int) -> NDArray[np.int64]:
    """Seeds as int64 ``[lanes]``, -1 for None.

    Raises:
        ValueError: not one a lane, no integer, or out of range.
    """
    if seeds is None:
        return np.full(num_lanes, -1, np.int64)
    if not isinstance(seeds, Sequence | np.ndarray):
        raise ValueError(f"seeds is {seeds!r}; expected a sequence, one a lane, or None.")
    if len(seeds) != num_lanes:
        raise ValueError(f"got {len(seeds)} seeds; expected {num_lanes}, one a lane.")
    return np.array([_seed(seed, f"seeds[{i}]") for i, seed in enumerate(seeds)], np.int64)


def _seed(seed: Any, place: str) -> int:
    if seed is None:
        return -1
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= int(seed) < SEED_LIMIT:
        raise ValueError(f"{place} is {seed!r}; expected an integer from 0 to 2**63 - 1, or None.")
    return int(seed)
