"""The cut that gives held-out episodes their true number of endings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.training.termination import fit_threshold


@st.composite
def held_out(draw):
    """Episodes of probabilities whose maxima differ, and which of them ended."""
    maxima = draw(
        st.lists(st.integers(1, 999), min_size=1, max_size=12, unique=True).map(
            lambda whole: [np.float32(n / 1000) for n in whole]
        )
    )
    probabilities = []
    for maximum in maxima:
        shares = draw(st.lists(st.floats(0, 0.984375, width=32), max_size=5))
        at = draw(st.integers(0, len(shares)))
        values = [*(maximum * np.float32(s) for s in shares[:at]), maximum]
        values += [maximum * np.float32(s) for s in shares[at:]]
        probabilities.append(np.array(values, np.float32))
    return probabilities, draw(st.lists(st.booleans(), min_size=len(maxima), max_size=len(maxima)))


@settings(deadline=None)
@given(held_out())
def test_the_cut_gives_as_many_endings_as_there_were(case):
    probabilities, terminated = case
    endings = fit_threshold(probabilities, terminated)
    assert 0.0 < endings.threshold < 1.0
    assert endings.actual == sum(terminated) / len(terminated)
    ended = [bool((p > endings.threshold).any()) for p in probabilities]
    assert sum(ended) == sum(terminated)


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
