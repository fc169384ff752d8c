"""Endings that a model said against those that a rule says, counted."""

from __future__ import annotations

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
