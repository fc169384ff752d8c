from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dreamenv.audit.bootstrap import interval, mean, mean_difference, ratio, resample


def test_the_mean_s_interval_is_scipy_s_percentile_bootstrap():
    values = np.random.default_rng(0).exponential(size=40)
    ours = mean(values, seed=1)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=2
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    scale = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * scale)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * scale)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(150):
        found = mean(rng.normal(3.0, 2.0, 30), seed=trial)
        covered += found.low <= 3.0 <= found.high
    # Percentile intervals of 30 values are a little narrow: 93% is their textbook coverage.
    assert 0.87 <= covered / 150 <= 0.98


def test_whole_episodes_are_drawn_so_repeated_decisions_add_no_certainty():
    rng = np.random.default_rng(0)
    levels = rng.normal(size=12)
    once = ratio(levels[:, None], np.ones((12, 1)), seed=3).at(0)
    # The same levels, each seen in a hundred decisions.
    often = ratio(100 * levels[:, None], np.full((12, 1), 100.0), seed=3).at(0)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_longer_episodes_weigh_more_in_a_ratio():
    found = ratio([[1.0], [30.0]], [[1.0], [10.0]], seed=0).at(0)
    assert found.value == pytest.approx(31 / 11)
    assert (found.low, found.high) == pytest.approx((1.0, 3.0))


def test_the_difference_of_means_has_the_spread_of_both_samples():
    rng = np.random.default_rng(4)
    a, b = rng.normal(1.0, 1.0, 400), rng.normal(0.0, 2.0, 100)
    found = mean_difference(a, b, seed=0)
    deviation = np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * deviation, rel=0.1)


def test_statistics_that_are_mostly_undefined_have_no_interval():
    found = interval(1.0, [np.nan, np.nan, np.nan, 1.0])
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_one_episode_says_nothing_of_how_much_episodes_vary():
    with pytest.raises(ValueError, match="at least 2"):
        resample(1, seed=0)
