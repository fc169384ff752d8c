from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dreamenv.audit.calibration import (
    Predictions,
    auroc,
    bins,
    brier,
    brier_skill,
    expected_calibration_error,
    reliability,
)

MADE = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans(), st.integers(0, 3)),
    min_size=2,
    max_size=30,
)


def made(rows):
    p, happened, weights = zip(*rows, strict=True)
    return Predictions(np.array(p), np.array(happened)), np.array(weights)


@given(MADE)
def test_auroc_is_the_mann_whitney_statistic(rows):
    predictions, _ = made(rows)
    events = predictions.probability[predictions.happened]
    others = predictions.probability[~predictions.happened]
    if not len(events) or not len(others):
        assert np.isnan(auroc(predictions))
        return
    u = stats.mannwhitneyu(events, others, method="asymptotic").statistic
    assert auroc(predictions) == pytest.approx(u / (len(events) * len(others)))


@given(MADE)
def test_a_weight_of_n_is_n_copies(rows):
    predictions, weights = made(rows)
    if weights.sum() == 0:
        return
    copies = Predictions(
        np.repeat(predictions.probability, weights), np.repeat(predictions.happened, weights)
    )
    bin_of = bins(predictions)
    for statistic in (auroc, brier, brier_skill):
        assert statistic(predictions, weights) == pytest.approx(statistic(copies), nan_ok=True)
    assert expected_calibration_error(predictions, bin_of, weights) == pytest.approx(
        expected_calibration_error(copies, np.repeat(bin_of, weights))
    )


def test_the_base_rate_has_no_skill_and_the_truth_has_all():
    happened = np.array([True, False, False, False])
    assert brier_skill(Predictions(np.full(4, 0.25), happened)) == pytest.approx(0.0)
    assert brier_skill(Predictions(happened.astype(float), happened)) == pytest.approx(1.0)
    assert brier_skill(Predictions(1.0 - happened, happened)) < 0.0


def test_calibration_error_of_known_bins():
    # Half are told 0.2 and 0.3 of them happen; half are told 0.6 and 0.5 of them do.
    p = np.repeat([0.2, 0.6], 10)
    happened = np.concatenate([np.arange(10) < 3, np.arange(10) < 5])
    predictions = Predictions(p, happened)
    bin_of = bins(predictions)
    curve = reliability(predictions, bin_of)
    assert curve.predicted.tolist() == pytest.approx([0.2, 0.6])
    assert curve.observed.tolist() == pytest.approx([0.3, 0.5])
    assert curve.count.tolist() == [10, 10]
    assert expected_calibration_error(predictions, bin_of) == pytest.approx(0.1)


def test_bins_share_a_rare_event_s_probabilities_evenly():
    p = np.random.default_rng(0).uniform(0.001, 0.01, 1000)
    counts = np.bincount(bins(Predictions(p, p > 1)))
    assert len(counts) == 10
    assert counts.min() >= 95


def test_true_probabilities_are_calibrated_and_doubled_ones_are_not():
    rng = np.random.default_rng(1)
    p = rng.beta(1.0, 20.0, 40_000)
    happened = rng.uniform(size=len(p)) < p
    right, doubled = Predictions(p, happened), Predictions(np.minimum(2 * p, 1.0), happened)
    assert expected_calibration_error(right, bins(right)) < 0.005
    # Their mean is 1/21, and twice that is said.
    assert expected_calibration_error(doubled, bins(doubled)) == pytest.approx(1 / 21, abs=0.005)


@pytest.mark.parametrize("p", [[0.5, 1.2], [0.5, np.nan], [0.5]])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="expected"):
        Predictions(np.array(p), np.array([True, False]))
