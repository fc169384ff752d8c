"""Endings that a model said against those that a rule says, counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959964
"""Of a two-sided interval at 95%."""


def wilson(hits: float, of: float) -> dict[str, float | None]:
    """A share with its 95% score interval (Wilson 1927), which has a width also where every one of
    them hit; None where there are none."""
    if of <= 0.0:
        return {"value": None, "low": None, "high": None}
    share, square = hits / of, Z * Z / of
    middle = (share + 0.5 * square) / (1.0 + square)
    half = Z * np.sqrt(share * (1.0 - share) / of + 0.25 * square / of) / (1.0 + square)
    return {
        "value": round(share, 4),
        "low": round(float(max(middle - half, 0.0)), 4),
        "high": round(float(min(middle + half, 1.0)), 4),
    }


def counted(said: NDArray[Any], really: NDArray[np.bool_]) -> dict[str, Any]:
    """Precision and recall of ``said`` ``[n]``, true, false, or a probability, whose expected
    counts are taken then.

    The intervals take endings for independent. Those of one episode are not, but it has one.
    """
    given = np.asarray(said, np.float64)
    agreed = float(given[really].sum())
    return {
        "decisions": len(given),
        "endings": int(really.sum()),
        "said": round(float(given.sum()), 1),
        "agreed": round(agreed, 1),
        "precision": wilson(agreed, float(given.sum())),
        "recall": wilson(agreed, float(really.sum())),
    }


def curve(
    margin: NDArray[np.float64], probability: NDArray[np.float64], edges: NDArray[np.float64]
) -> dict[str, list[Any]]:
    """Mean probability of an ending by margin, and how many decisions there were; None where
    none."""
    at = np.digitize(margin, edges) - 1
    inside = (at >= 0) & (at < len(edges) - 1)
    count = np.bincount(at[inside], minlength=len(edges) - 1)
    total = np.bincount(at[inside], probability[inside], len(edges) - 1)
    return {
        "decisions": count.tolist(),
        "probability": [
            round(float(t / c), 4) if c else None for t, c in zip(total, count, strict=True)
        ],
    }


@dataclass(frozen=True)
class Followed:
    """What a step made of lanes ``[n]`` that are followed beyond endings that the model missed."""

    past: NDArray[np.int64]
    """Decisions that each has been followed for; 0 for those that are not."""
    late: list[int]
    """Decisions that each ending which was known now took, one more than the patience if it did not
    come."""
    cut: int
    """Those that the horizon cut before either was known."""
    given_up: NDArray[np.bool_]


def followed(
    past: NDArray[np.int64],
    missed: NDArray[np.bool_],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    patience: int,
) -> Followed:
    """Follow endings that were missed, now or before, for up to ``patience`` decisions more."""
    known = (past > 0) & terminated
    given_up = (past >= patience) & ~terminated
    cut = ((past > 0) | missed) & truncated & ~terminated & ~given_up
    late = past[known].tolist() + [patience + 1] * int(given_up.sum())
    goes_on = ((past > 0) | missed) & ~(terminated | truncated | given_up)
    return Followed(np.where(goes_on, past + 1, 0), late, int(cut.sum()), given_up)
