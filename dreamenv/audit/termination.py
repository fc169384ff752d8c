"""Whether predicted endings come as often, and when, real episodes end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamenv.audit.bootstrap import Band, Interval, band, interval, mean, resample
from dreamenv.audit.calibration import (
    Predictions,
    auroc,
    bins,
    brier,
    brier_skill,
    expected_calibration_error,
    reliability,
)
from dreamenv.audit.filtered import FilteredEpisode

ENOUGH_ENDINGS = 10
"""Real endings below which nothing is said of calibration: their count alone then varies by a third
(1/√10), and a reliability curve by far more."""
RESAMPLES = 500


@dataclass(frozen=True)
class ReliabilityCurve:
    """Predicted against observed share of decisions that ended the episode, bin by bin."""

    predicted: list[float]
    observed: Band
    count: list[int]


@dataclass(frozen=True)
class Calibration:
    """Of predicted probabilities of endings, on held-out episodes."""

    ece: Interval
    """Expected calibration error, bins of equal mass."""
    auroc: Interval
    brier: Interval
    skill: Interval
    """Brier skill over the base rate."""
    reliability: ReliabilityCurve


@dataclass(frozen=True)
class TerminationReport:
    """Predicted against real endings, fed real observations."""

    episodes: int
    endings: int
    """Real ones (terminated, not truncated)."""
    actual: Interval
    """Endings an episode."""
    predicted: Interval
    """Sum of predicted probabilities an episode: how many endings sampling would have drawn."""
    z: float
    """(endings - their predicted number) / its standard deviation if every prediction were right;
    beyond ±3 is no accident (a sum of Bernoulli variables is nearly normal)."""
    calibration: Calibration | None
    """None with too few endings to say."""
    words: str


def audit_termination(filtered: Sequence[FilteredEpisode], seed: int) -> TerminationReport:
    """Compare the predicted endings of the filtered episodes with the real ones."""
    return termination_report(
        [f.termination for f in filtered], [f.episode.terminated for f in filtered], seed
    )


def termination_report(
    probabilities: Sequence[NDArray[np.float64]], terminated: Sequence[bool], seed: int
) -> TerminationReport:
    """:func:`audit_termination` of plain arrays: for each episode, a probability a decision."""
    endings, episodes = int(np.sum(terminated)), len(terminated)
    expected = float(sum(p.sum() for p in probabilities))
    variance = float(sum((p * (1.0 - p)).sum() for p in probabilities))
    # Predictions that are certain have no spread: then any difference at all is beyond accident.
    spread = np.sqrt(max(variance, 1e-12))
    enough = endings >= ENOUGH_ENDINGS
    ended = [_ended(len(p), t) for p, t in zip(probabilities, terminated, strict=True)]
    words = (
        f"{endings} real endings in {episodes} held-out episodes."
        if enough
        else f"Too few endings to say: {endings} in {episodes} held-out episodes, "
        f"of which at least {ENOUGH_ENDINGS} are needed."
    )
    return TerminationReport(
        episodes=episodes,
        endings=endings,
        actual=mean([float(t) for t in terminated], seed),
        predicted=mean([p.sum() for p in probabilities], seed),
        z=float((endings - expected) / spread),
        calibration=calibrate(probabilities, ended, seed) if enough else None,
        words=words,
    )


def calibrate(
    probabilities: Sequence[NDArray[np.float64]], happened: Sequence[NDArray[np.bool_]], seed: int
) -> Calibration:
    """Calibration with intervals from resampling whole episodes; an array for each."""
    predictions = Predictions(np.concatenate(probabilities), np.concatenate(happened))
    episode_of = np.repeat(np.arange(len(happened)), [len(p) for p in probabilities])
    weights = resample(len(happened), seed, RESAMPLES)
    bin_of = bins(predictions)

    def bootstrapped(statistic: Callable[[NDArray[np.int64] | None], float]) -> Interval:
        return interval(statistic(None), [statistic(w[episode_of]) for w in weights])

    curve = reliability(predictions, bin_of)
    drawn = [reliability(predictions, bin_of, w[episode_of]).observed for w in weights]
    return Calibration(
        ece=bootstrapped(lambda w: expected_calibration_error(predictions, bin_of, w)),
        auroc=bootstrapped(lambda w: auroc(predictions, w)),
        brier=bootstrapped(lambda w: brier(predictions, w)),
        skill=bootstrapped(lambda w: brier_skill(predictions, w)),
        reliability=ReliabilityCurve(
            predicted=curve.predicted.tolist(),
            observed=band(curve.observed, drawn),
            count=curve.count.astype(int).tolist(),
        ),
    )


def _ended(decisions: int, terminated: bool) -> NDArray[np.bool_]:
    ended = np.zeros(decisions, np.bool_)
    ended[-1] = terminated
    return ended
