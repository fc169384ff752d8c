"""What callers hand to the lanes of a dream, checked before anything is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dreamenv_client.seeds import SEED_LIMIT
from numpy.typing import NDArray


def check_count(num_lanes: Any) -> int:
    """How many lanes, as a Python integer.

    Raises:
        ValueError: no whole number, or below 1.
    """
    whole = isinstance(num_lanes, int | np.integer) and not isinstance(num_lanes, bool)
    if not whole or num_lanes < 1:
        raise ValueError(f"num_lanes is {num_lanes!r}; expected a whole number, at least 1.")
    return int(num_lanes)


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
