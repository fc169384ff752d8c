"""What the same policy is paid in the dream and in the real env."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamenv.audit.bootstrap import Interval, mean, mean_difference
from dreamenv.audit.play import Played
from dreamenv.audit.two_sample import TwoSample, kolmogorov_smirnov

PACE_WINDOW = 50
"""Decisions over which an episode's best pace is taken."""
RANGE_MARGIN = 0.05
"""Share of the real rewards' range that a dreamed reward may exceed it by: a prediction is no
measurement."""


@dataclass(frozen=True)
class Distribution:
    """One figure an episode."""

    values: list[float]
    mean: Interval
    std: float
    """Over episodes, unbiased."""

    @classmethod
    def of(cls, values: Sequence[float], seed: int) -> Distribution:
        """Of at least two episodes."""
        return cls(list(values), mean(values, seed), float(np.std(values, ddof=1)))


@dataclass(frozen=True)
class Comparison:
    """The same figure, dreamed and real."""

    dream: Distribution
    real: Distribution
    gap: Interval
    """mean(dream) - mean(real)."""
    test: TwoSample

    @classmethod
    def of(cls, dream: Sequence[float], real: Sequence[float], seed: int) -> Comparison:
        """Of two samples, one figure an episode."""
        return cls(
            Distribution.of(dream, seed),
            Distribution.of(real, seed + 1),
            mean_difference(dream, real, seed),
            kolmogorov_smirnov(dream, real, seed),
        )


@dataclass(frozen=True)
class Pace:
    """Return a decision."""

    window: int
    """Decisions over which the best pace of an episode is taken."""
    dream: float
    """Of all the policy's dreamed decisions."""
    real: float
    """Of all the policy's real decisions."""
    in_real_paces: float
    """dream / real; NaN unless the real pace is positive."""
    dream_best: float
    """Each dreamed episode's best window, median over episodes."""
    real_best: float
    """The best window of any real episode, whoever acted."""


@dataclass(frozen=True)
class Ceiling:
    """Whether the dream pays what reality was never seen to pay, whoever acted."""

    real_low: float
    real_high: float
    """The smallest and the largest real reward of one decision."""
    dream_high: float
    """The largest dreamed reward of one decision."""
    share_above: float
    """Dreamed decisions paid more than ``real_high`` by :data:`RANGE_MARGIN` of the range."""
    best_real_return: float
    """Of any real episode."""


@dataclass(frozen=True)
class ReturnReport:
    """Returns and lengths of one policy, dreamed and real."""

    returns: Comparison
    lengths: Comparison
    pace: Pace
    ceiling: Ceiling


def compare(
    dream: Sequence[Played], real: Sequence[Played], seen: Sequence[Played], seed: int
) -> ReturnReport:
    """Compare the episodes of one policy.

    Args:
        real: the same policy's real episodes.
        seen: all real episodes at hand, whoever acted: what reality was seen to pay.
    """
    return ReturnReport(
        returns=Comparison.of([p.total for p in dream], [p.total for p in real], seed),
        lengths=Comparison.of([len(p) for p in dream], [len(p) for p in real], seed),
        pace=_pace(dream, real, seen),
        ceiling=_ceiling(dream, seen),
    )


def best_window(rewards: NDArray[np.float64], window: int) -> float:
    """The largest mean of ``window`` rewards in a row; of all of them if there are fewer.

    >>> best_window(np.array([0.0, 1.0, 3.0, -1.0]), window=2)
    2.0
    """
    window = min(window, len(rewards))
    sums = np.cumsum(np.concatenate([[0.0], rewards]))
    return float((sums[window:] - sums[:-window]).max() / window)


def _pace(dream: Sequence[Played], real: Sequence[Played], seen: Sequence[Played]) -> Pace:
    # A short episode's best pace is a matter of luck: it counts only if no longer ones are there.
    window = min(PACE_WINDOW, max(map(len, dream)), max(map(len, seen)))
    dream_pace, real_pace = (
        float(np.concatenate([p.rewards for p in played]).mean()) for played in (dream, real)
    )
    return Pace(
        window=window,
        dream=dream_pace,
        real=real_pace,
        in_real_paces=dream_pace / real_pace if real_pace > 0.0 else float("nan"),
        dream_best=float(
            np.median([best_window(p.rewards, window) for p in dream if len(p) >= window])
        ),
        real_best=max(best_window(p.rewards, window) for p in seen if len(p) >= window),
    )


def _ceiling(dream: Sequence[Played], seen: Sequence[Played]) -> Ceiling:
    dreamed = np.concatenate([p.rewards for p in dream])
    real = np.concatenate([p.rewards for p in seen])
    low, high = float(real.min()), float(real.max())
    # Where all real rewards are equal, their size stands in for their range.
    margin = RANGE_MARGIN * ((high - low) or abs(high))
    return Ceiling(
        real_low=low,
        real_high=high,
        dream_high=float(dreamed.max()),
        share_above=float((dreamed > high + margin).mean()),
        best_real_return=max(p.total for p in seen),
    )
