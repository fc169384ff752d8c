"""Observations that are vectors of floats, as model and policy are shown them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv.config import VECTOR_BOUND
from dreamenv.errors import DataError


def check_bounded(name: str, observations: NDArray[Any]) -> None:
    """Refuse float observations that no env shows here: NaN, infinite or beyond the bound. Frames
    pass.

    Raises:
        ValueError: naming the first place, and what is there.
    """
    if observations.dtype.kind != "f" or not observations.size:
        return
    # Both are NaN where any value is.
    if observations.min() >= -VECTOR_BOUND and observations.max() <= VECTOR_BOUND:
        return
    at = tuple(np.argwhere(~(np.abs(observations) <= VECTOR_BOUND))[0].tolist())
    raise ValueError(
        f"{name}{list(at)} is {observations[at]}; expected numbers within ±{VECTOR_BOUND:g}, in "
        "the real env's units: clip vectors, and leave out those with NaN."
    )


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
