"""Snapshots: what is in one, and whether to believe it. They may come from strangers."""

from __future__ import annotations

from typing import Any

import numpy as np
from dreamenv_client.lanes import LaneSnapshot
from numpy.typing import NDArray

from dreamenv.dream.clock import Status
from dreamenv.dream.knobs import HORIZON_LIMIT, TEMPERATURE_LIMIT, TERMINATIONS, TRUST_LIMIT
from dreamenv.dream.trust import TRUST_KNOBS

CLOCK_LIMIT = 2**31
"""Episodes and steps a snapshot may have counted; the streams take twice as many."""
TINY = float(np.finfo(np.float32).smallest_subnormal)
LIMITS: dict[str, tuple[float, float]] = {
    "seed": (-1, 2**63 - 1),
    "episode": (0, CLOCK_LIMIT - 1),
    "step": (0, CLOCK_LIMIT - 1),
    "status": (min(Status), max(Status)),
    "temperature_low": (0, TEMPERATURE_LIMIT),
    "temperature_high": (0, TEMPERATURE_LIMIT),
    "temperature": (0, TEMPERATURE_LIMIT),
    "termination": (0, len(TERMINATIONS) - 1),
    "termination_temperature": (TINY, TEMPERATURE_LIMIT),
    "horizon": (1, HORIZON_LIMIT),
    "trust_penalty": (0, TRUST_LIMIT),
    "trust_limit": (0, TRUST_LIMIT),
    "anywhere": (0, 1),
}
"""Least and greatest value of every array beside the model's state."""


def check_snapshot(
    snapshot: LaneSnapshot,
    *,
    model: str,
    lanes: int,
    like: dict[str, NDArray[Any]],
    tells: bool = True,
) -> dict[str, NDArray[Any]]:
    """A snapshot's arrays, fit to be copied into lanes.

    Args:
        model: identity of the package that must have made it.
        lanes: how many it must hold.
        like: arrays ``[any, ...]`` of the names, dtypes and shapes expected.
        tells: whether the package can tell how unsure its model is.

    Raises:
        ValueError: anything at all is other than expected.
    """
    if not isinstance(snapshot, LaneSnapshot):
        raise ValueError(f"snapshot is a {type(snapshot).__name__}; expected a LaneSnapshot.")
    if snapshot.model != model:
        raise ValueError(
            f"the snapshot is of model {snapshot.model!r}; expected {model!r}. Restore it into a "
            "dream of the package that it was taken from."
        )
    if set(snapshot.arrays) != set(like):
        raise ValueError(
            f"the snapshot holds {sorted(map(str, snapshot.arrays))}; expected {sorted(like)}."
        )
    for name, expected in like.items():
        array = snapshot.arrays[name]
        shape = (lanes, *expected.shape[1:])
        if not isinstance(array, np.ndarray) or (array.dtype, array.shape) != (
            expected.dtype,
            shape,
        ):
            found = (
                f"{array.dtype} {array.shape}"
                if isinstance(array, np.ndarray)
                else type(array).__name__
            )
            raise ValueError(
                f"the snapshot's {name} is {found}; expected {expected.dtype} {shape}."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"the snapshot's {name} holds NaN or infinity; expected numbers.")
        low, high = LIMITS.get(name, (-np.inf, np.inf))
        if array.size and not (low <= array.min() and array.max() <= high):
            raise ValueError(
                f"the snapshot's {name} reaches from {array.min()} to {array.max()}; expected "
                f"{low} to {high}."
            )
    _check_together(snapshot.arrays)
    for name in TRUST_KNOBS:
        if not tells and snapshot.arrays[name].any():
            raise ValueError(
                f"the snapshot's {name} reaches {snapshot.arrays[name].max()}; expected 0: its "
                "package cannot tell how unsure it is."
            )
    return dict(snapshot.arrays)


def _check_together(arrays: dict[str, NDArray[Any]]) -> None:
    """What single arrays cannot tell.

    Raises:
        ValueError: a range upside down, or a lane that has begun without a seed.
    """
    if (arrays["temperature_low"] > arrays["temperature_high"]).any():
        raise ValueError("the snapshot's temperature_low exceeds its temperature_high.")
    if ((arrays["seed"] < 0) != (arrays["status"] == Status.UNBEGUN)).any():
        raise ValueError("the snapshot holds a lane that has begun without a seed, or the reverse.")
