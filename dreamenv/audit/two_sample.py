"""Whether two samples may come from one distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERMUTATIONS = 2000


@dataclass(frozen=True)
class TwoSample:
    """Two-sample Kolmogorov–Smirnov test (Kolmogorov 1933, Smirnov 1939)."""

    distance: float
    """Largest difference of the two empirical distribution functions, 0 to 1."""
    p_value: float
    """Share of random relabelings with at least this distance (ties included)."""


def kolmogorov_smirnov(first: ArrayLike, second: ArrayLike, seed: int) -> TwoSample:
    """Compare two samples by permutation, which needs no tables and allows ties.

    The p-value is (1 + relabelings at least as far apart) / (1 + all) (Phipson & Smyth 2010).

    >>> kolmogorov_smirnov([1.0, 2.0], [3.0, 4.0], seed=0).distance
    1.0
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    pooled = np.concatenate([a, b])
    order = np.argsort(pooled, kind="stable")
    # Distribution functions are compared after the last of equal values only.
    steps = np.append(np.diff(pooled[order]) > 0, True)
    belongs = np.arange(len(pooled)) < len(a)
    observed = _distance(belongs[order], steps)
    rng = np.random.default_rng(seed)
    tolerance = 1e-12
    further = sum(
        _distance(rng.permutation(belongs), steps) >= observed - tolerance
        for _ in range(PERMUTATIONS)
    )
    return TwoSample(observed, (1 + further) / (1 + PERMUTATIONS))


def _distance(in_first: NDArray[np.bool_], steps: NDArray[np.bool_]) -> float:
    a = np.cumsum(in_first) / in_first.sum()
    b = np.cumsum(~in_first) / (~in_first).sum()
    return float(np.abs(a - b)[steps].max())
