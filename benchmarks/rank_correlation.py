"""Spearman's rank correlation over decisions, with an interval over whole episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dreamenv.audit.bootstrap import Interval, interval, resample


def spearman(
    x: NDArray[np.floating], y: NDArray[np.floating], lengths: ArrayLike, seed: int = 0
) -> Interval:
    """The rank correlation of two numbers a decision.

    Args:
        x, y: ``[decisions]``, of one episode after another; hardly any two alike.
        lengths: decisions of each episode.

    Raises:
        ValueError: fewer than 2 episodes.
    """
    lengths = np.asarray(lengths)
    once = np.ones(len(x))
    draws = [
        _weighted(x, y, np.repeat(drawn, lengths).astype(np.float64))
        for drawn in resample(len(lengths), seed, resamples=500)
    ]
    return interval(_weighted(x, y, once), draws)


def _weighted(
    x: NDArray[np.floating], y: NDArray[np.floating], weights: NDArray[np.float64]
) -> float:
    """Where each decision counts so many times."""
    a, b = _ranks(x, weights), _ranks(y, weights)
    total = weights.sum()
    a, b = a - a @ weights / total, b - b @ weights / total
    return float((weights * a) @ b / np.sqrt(((weights * a) @ a) * ((weights * b) @ b)))


def _ranks(values: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ranks: a decision that counts several times shares them with itself."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.cumsum(weights[order]) - (weights[order] - 1.0) / 2.0
    return ranks
