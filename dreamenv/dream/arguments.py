"""What callers hand to the lanes of a dream, checked before anything is done with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from dreamenv_client.arguments import check_mask as check_mask
from dreamenv_client.arguments import check_seeds as check_seeds


def check_count(num_lanes: Any) -> int:
    """How many lanes, as a Python integer.

    Raises:
        ValueError: no whole number, or below 1.
    """
    whole = isinstance(num_lanes, int | np.integer) and not isinstance(num_lanes, bool)
    if not whole or num_lanes < 1:
        raise ValueError(f"num_lanes is {num_lanes!r}; expected a whole number, at least 1.")
    return int(num_lanes)
