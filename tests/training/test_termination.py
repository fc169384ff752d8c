"""The cut that gives held-out episodes their true number of endings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.training.termination import fit_threshold


def endings_a_decision(probabilities, cut):
    """By playing each episode until the cut ends it."""
    endings = decisions = 0
    for episode in probabilities:
        for probability in episode:
            decisions += 1
            if probability > cut:
                endings += 1
                break
    return endings / decisions


EPISODE = st.lists(st.integers(0, 40).map(lambda n: np.float32(n / 40)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(EPISODE, st.booleans()), min_size=1, max_size=8))
def test_no_other_cut_comes_nearer_to_the_true_endings_a_decision(case):
    probabilities = [np.array(p, np.float32) for p, _ in case]
    terminated = [ended for _, ended in case]
    endings = fit_threshold(probabilities, terminated)
    assert 0.0 < endings.threshold < 1.0
    assert endings.actual == sum(terminated) / len(terminated)
    if not any(terminated):
        assert endings_a_decision(probabilities, endings.threshold) == 0.0 or any(
            1.0 in p for p in probabilities
        )
        return
    wanted = sum(terminated) / sum(map(len, probabilities))
    others = [(n + 0.5) / 40 for n in range(40)]  # between all values that there are
    errors = [abs(endings_a_decision(probabilities, cut) - wanted) for cut in others]
    found = abs(endings_a_decision(probabilities, endings.threshold) - wanted)
    assert found == pytest.approx(min(errors), abs=1e-12)


def test_an_ending_foreseen_is_cut_when_it_comes_though_every_episode_ends():
    rng = np.random.default_rng(0)
    probabilities = [
        np.append(rng.uniform(0, 0.02, n), rng.uniform(0.1, 0.6)).astype(np.float32)
        for n in rng.integers(50, 400, 70)
    ]
    endings = fit_threshold(probabilities, [True] * 70)
    assert 0.02 < endings.threshold < 0.11
    assert all((p > endings.threshold).argmax() == len(p) - 1 for p in probabilities)


def test_predicted_endings_are_the_sum_of_the_probabilities():
    endings = fit_threshold(
        [np.float32([0.1, 0.2]), np.float32([0.9]), np.float32([0.05] * 4)], [False, True, False]
    )
    assert endings.actual == pytest.approx(1 / 3)
    assert endings.predicted == pytest.approx((0.3 + 0.9 + 0.2) / 3)
    assert endings.threshold == pytest.approx((0.9 + 0.2) / 2)


def test_without_endings_the_cut_is_a_half_unless_the_model_is_surer():
    assert fit_threshold([np.float32([0.4]), np.float32([0.1])], [False, False]).threshold == 0.5
    assert fit_threshold([np.float32([0.9])], [False]).threshold == pytest.approx(0.95)
    assert fit_threshold([], []).threshold == 0.5


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_the_cut_stays_within_what_a_package_may_say(certain):
    """0 < threshold < 1, however sure the model is."""
    endings = fit_threshold([np.float32([certain])] * 3, [True, True, False])
    assert 0.0 < endings.threshold < 1.0
