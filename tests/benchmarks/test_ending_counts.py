import numpy as np
import pytest
from ending_counts import Z, counted, curve, wilson
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_interval_holds_the_shares_that_the_hits_do_not_refute(hits, of):
    # Wilson's interval is where |share - p| ≤ z √(p (1 - p) / n): its ends solve that as equations.
    hits = min(hits, of)
    found = wilson(hits, of)
    assert 0.0 <= found["low"] <= found["value"] <= found["high"] <= 1.0
    for end in (found["low"], found["high"]):
        if 0.001 < end < 0.999:
            away, width = abs(hits / of - end), Z * (end * (1 - end) / of) ** 0.5
            assert away == pytest.approx(width, abs=5e-4)


def test_all_hits_of_a_few_are_not_certain_and_none_of_none_is_nothing():
    assert wilson(10, 10)["low"] == pytest.approx(10 / (10 + Z**2), abs=1e-4)
    assert wilson(0, 0) == {"value": None, "low": None, "high": None}


def test_precision_and_recall_of_flags_and_of_probabilities():
    really = np.array([True, True, True, False, False])
    found = counted(np.array([True, True, False, True, False]), really)
    assert (found["decisions"], found["endings"], found["said"], found["agreed"]) == (5, 3, 3, 2)
    assert found["precision"]["value"] == found["recall"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    hoped = counted(np.array([0.5, 0.5, 0.5, 0.25, 0.25]), really)
    assert hoped["precision"]["value"] == pytest.approx(0.75)
    assert hoped["recall"]["value"] == pytest.approx(0.5)


def test_a_curve_leaves_out_what_lies_beyond_its_edges():
    margin, probability = np.array([-1.0, 0.1, 0.2, 0.9, 7.0]), np.array([1, 0.2, 0.4, 1, 1.0])
    found = curve(margin, probability, np.array([0.0, 0.5, 0.75, 1.0]))
    assert found == {"decisions": [2, 0, 1], "probability": [0.3, None, 1.0]}
