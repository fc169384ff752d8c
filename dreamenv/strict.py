"""Data from files, checked at the door."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Strict(BaseModel):
    """Unknown fields are errors, values do not change after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _temperature(value: float | tuple[float, float]) -> float | tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    if not 0.0 <= low <= high <= 100.0:
        raise ValueError(f"expected 0 ≤ low ≤ high ≤ 100, got {value}")
    return value


Temperature = Annotated[float | tuple[float, float], AfterValidator(_temperature)]
"""A number, or the range that each episode's is drawn from."""
