"""Percentile bootstrap, whole episodes at a time (Efron & Tibshirani 1993, §13.3 and §8.6).

Decisions of one episode resemble each other, so an interval that resamples decisions is too narrow.
Here an episode is drawn with everything in it, or not at all; a resample is thus a whole-number
weight for each episode, and every statistic of this package takes such weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval at :data:`LEVEL`; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Band:
    """Several figures with their intervals, float64 ``[n]`` each."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, index: int) -> Interval:
        """One of them."""
        return Interval(float(self.value[index]), float(self.low[index]), float(self.high[index]))


def resample(episodes: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """How often each of ``episodes`` episodes is drawn in each resample, ``[resamples, episodes]``.

    >>> resample(3, seed=0).sum(axis=1).tolist() == [3] * RESAMPLES
    True

    Raises:
        ValueError: fewer than 2 episodes, of which there is no telling how much they vary.
    """
    if episodes < 2:
        raise ValueError(f"episodes: expected at least 2 for an interval, got {episodes}")
    rng = np.random.default_rng(seed)
    return rng.multinomial(episodes, np.full(episodes, 1.0 / episodes), resamples)


def interval(value: float, draws: ArrayLike) -> Interval:
    """The percentile interval of a statistic's ``draws``, undefined ones left out."""
    low, high = _percentiles(np.asarray(draws, np.float64))
    return Interval(float(value), float(low), float(high))


def band(value: ArrayLike, draws: ArrayLike) -> Band:
    """:func:`interval` of ``[n]`` statistics, ``draws`` being ``[resamples, n]``."""
    low, high = _percentiles(np.asarray(draws, np.float64))
    return Band(np.asarray(value, np.float64), low, high)


def _percentiles(draws: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    tail = (1.0 - LEVEL) / 2.0
    columns = draws.reshape(len(draws), -1)
    ends = np.full((2, columns.shape[1]), np.nan)
    for i, column in enumerate(columns.T):
        defined = column[np.isfinite(column)]
        # Mostly undefined means that the data cannot carry an interval.
        if len(defined) > 0.5 * len(column):
            ends[:, i] = np.quantile(defined, [tail, 1.0 - tail])
    ends = ends.reshape(2, *draws.shape[1:])
    return ends[0], ends[1]


def mean(values: ArrayLike, seed: int) -> Interval:
    """The mean of one value an episode.

    >>> mean([1.0, 1.0, 1.0], seed=0)
    Interval(value=1.0, low=1.0, high=1.0)
    """
    array = np.asarray(values, np.float64)
    return interval(array.mean(), resample(len(array), seed) @ array / len(array))


def mean_difference(first: ArrayLike, second: ArrayLike, seed: int) -> Interval:
    """mean(first) - mean(second) of two independent samples, one value an episode each."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    draws = resample(len(a), seed) @ a / len(a) - resample(len(b), seed + 1) @ b / len(b)
    return interval(a.mean() - b.mean(), draws)


def ratio(sums: ArrayLike, counts: ArrayLike, seed: int) -> Band:
    """Σ sums / Σ counts over episodes, both ``[episodes, n]``: a mean over decisions, or a ratio.

    NaN where the counts add up to 0.
    """
    above, below = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    weights = resample(len(above), seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        return band(above.sum(0) / below.sum(0), (weights @ above) / (weights @ below))
