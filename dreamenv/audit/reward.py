"""Predicted against real rewards, fed real observations and open loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamenv.audit.bootstrap import Band, Interval, interval, mean, ratio, resample
from dreamenv.audit.filtered import FilteredEpisode
from dreamenv.audit.open_loop import Drift


@dataclass(frozen=True)
class RewardError:
    """Of one decision, in the real env's units."""

    bias: Interval
    """Mean of predicted - real."""
    mae: Interval
    """Mean of |predicted - real|."""
    correlation: Interval
    """Pearson's, over decisions; NaN where real or predicted rewards do not vary."""


@dataclass(frozen=True)
class EpisodeReturn:
    """One held-out episode's return, and what the model, fed its observations, made of it."""

    policy: str
    seed: int
    real: float
    predicted: float


@dataclass(frozen=True)
class RewardReport:
    """What the reward head is worth on episodes the model never saw."""

    decisions: int
    fed: RewardError
    """The model sees every real observation up to the decision."""
    fed_by_policy: dict[str, RewardError]
    """Likewise, apart for each behaviour that has at least two episodes."""
    open_loop: RewardError
    """The model dreams up to the horizon under the recorded actions."""
    open_loop_bias: Band
    """Bias at k = 1 … horizon."""
    open_loop_mae: Band
    """MAE at k = 1 … horizon."""
    mean_mae: float
    """MAE of always predicting the held-out mean: what a reward head has to beat."""
    episodes: list[EpisodeReturn]
    return_bias: Interval
    """Predicted - real return an episode, fed real observations."""


def audit_reward(filtered: Sequence[FilteredEpisode], drift: Drift, seed: int) -> RewardReport:
    """Compare rewards of the filtered episodes and the dreamed windows."""
    real = [f.episode.rewards.astype(np.float64) for f in filtered]
    said = [f.reward for f in filtered]
    policies = sorted({f.episode.policy for f in filtered})
    by_policy: dict[str, RewardError] = {}
    for policy in policies:
        mine = [i for i, f in enumerate(filtered) if f.episode.policy == policy]
        if len(mine) > 1:
            by_policy[policy] = reward_error([said[i] for i in mine], [real[i] for i in mine], seed)
    dreamed, happened = _windows(filtered, drift)
    error = np.nan_to_num(dreamed - happened)
    there = np.isfinite(dreamed).astype(np.float64)
    per_episode = [
        EpisodeReturn(f.episode.policy, f.episode.seed, float(r.sum()), float(s.sum()))
        for f, r, s in zip(filtered, real, said, strict=True)
    ]
    everything = np.concatenate(real)
    numbers = np.array([w.episode for w in drift.windows])
    groups = [np.flatnonzero(numbers == i) for i in np.unique(numbers)]
    counts = np.array([there[g].sum(0) for g in groups])
    return RewardReport(
        decisions=len(everything),
        fed=reward_error(said, real, seed),
        fed_by_policy=by_policy,
        open_loop=reward_error(
            [dreamed[g][there[g] > 0] for g in groups],
            [happened[g][there[g] > 0] for g in groups],
            seed,
        ),
        open_loop_bias=ratio(np.array([error[g].sum(0) for g in groups]), counts, seed),
        open_loop_mae=ratio(np.array([np.abs(error[g]).sum(0) for g in groups]), counts, seed),
        mean_mae=float(np.abs(everything - everything.mean()).mean()),
        episodes=per_episode,
        return_bias=mean([e.predicted - e.real for e in per_episode], seed),
    )


def reward_error(
    predicted: Sequence[NDArray[np.float64]], real: Sequence[NDArray[np.float64]], seed: int
) -> RewardError:
    """Errors over decisions, bootstrapped by episode: one vector of rewards an episode."""
    count = np.array([[len(r)] for r in real], np.float64)
    differences = [p - r for p, r in zip(predicted, real, strict=True)]
    bias = ratio([[d.sum()] for d in differences], count, seed)
    mae = ratio([[np.abs(d).sum()] for d in differences], count, seed)
    # Pearson's correlation needs six sums, so that a resample is a weighted sum of six columns.
    # Centred first: the variances are differences of sums, which would lose their digits.
    x0, y0 = np.concatenate(predicted).mean(), np.concatenate(real).mean()
    moments = np.array(
        [
            [
                len(r),
                (p - x0).sum(),
                (r - y0).sum(),
                ((p - x0) ** 2).sum(),
                ((r - y0) ** 2).sum(),
                ((p - x0) * (r - y0)).sum(),
            ]
            for p, r in zip(predicted, real, strict=True)
        ]
    )
    draws = _correlation(resample(len(moments), seed) @ moments)
    value = float(_correlation(moments.sum(axis=0, keepdims=True))[0])
    return RewardError(bias.at(0), mae.at(0), interval(value, draws))


def _correlation(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    n, x, y, xx, yy, xy = moments.T
    with np.errstate(invalid="ignore", divide="ignore"):
        variance_x, variance_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        covariance = xy / n - x * y / n**2
        correlation = covariance / np.sqrt(variance_x * variance_y)
    # Rounding may leave a hair of variance where nothing varies.
    varies = (variance_x > 1e-12 * (1 + xx / n)) & (variance_y > 1e-12 * (1 + yy / n))
    return np.where(varies, correlation, np.nan)


def _windows(
    filtered: Sequence[FilteredEpisode], drift: Drift
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dreamed and real rewards, ``[windows, horizon]``, NaN past a window's end."""
    real = np.full_like(drift.reward, np.nan)
    for row, w in enumerate(drift.windows):
        rewards = filtered[w.episode].episode.rewards
        real[row, : w.steps] = rewards[w.start : w.start + w.steps]
    return drift.reward, real
