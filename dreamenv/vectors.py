"""Observations that are vectors of floats, as model and policy are shown them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv.config import VECTOR_BOUND
from dreamenv.errors import DataError


def shown_vector(values: Any, env_id: str) -> NDArray[np.float32]:
    """An env's vector as float32 ``[n]``, in its own units and cut to ±:data:`VECTOR_BOUND`; a
    fresh array.

    Raises:
        DataError: it has a NaN.
    """
    given = np.asarray(values)
    cut = given.clip(-VECTOR_BOUND, VECTOR_BOUND).astype(np.float32)
    if np.isnan(cut).any():
        raise DataError(
            f"{env_id}: expected a vector of numbers, got NaN at {np.flatnonzero(np.isnan(cut))}; "
            "the simulation diverged: mend the env, or keep its actions smaller"
        )
    return cut
