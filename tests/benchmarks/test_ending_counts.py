import numpy as np
import pytest
from ending_counts import Z, counted, curve, followed, wilson
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


@pytest.mark.parametrize(
    ("missed", "terminated", "truncated", "late", "cut"),
    [
        (1, 2, 9, [1], 0),
        (1, 4, 9, [3], 0),  # exactly as long as the patience
        (1, 5, 9, [4], 0),  # a decision too late: given up by then
        (1, 9, 3, [], 1),
        (1, 9, 1, [], 1),  # where the ending was missed the horizon came as well
        (1, 9, 4, [4], 0),  # given up in the same decision
        (1, 3, 3, [2], 0),
        (9, 5, 9, [], 0),  # nothing was missed
        (9, 9, 5, [], 0),
    ],
)
def test_a_missed_ending_counts_once_as_late_or_given_up_or_cut(
    missed, terminated, truncated, late, cut
):
    """Of one lane: the decision in which each happens, with a patience of 3."""
    past, found, cuts = np.zeros(1, np.int64), [], 0
    for now in range(8):
        flags = [np.array([now == at]) for at in (missed, terminated, truncated)]
        after = followed(past, *flags, 3)
        past, found, cuts = after.past, found + after.late, cuts + after.cut
        if after.given_up.any() or flags[1].any() or flags[2].any():
            assert not past.any()
            break
    assert (found, cuts) == (late, cut)
