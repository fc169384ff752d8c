from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamenv.audit.play import Played
from dreamenv.audit.returns import best_window, compare


def episodes(*rewards: list[float], ended: bool = False) -> list[Played]:
    return [Played(np.array(r, np.float64), ended) for r in rewards]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.integers(1, 25))
def test_the_best_window_is_the_best_of_all(rewards, window):
    array = np.array(rewards)
    size = min(window, len(array))
    every = [array[i : i + size].mean() for i in range(len(array) - size + 1)]
    assert best_window(array, window) == pytest.approx(max(every), abs=1e-9)


def test_returns_lengths_and_pace_of_known_episodes():
    dream = episodes([2.0] * 4, [2.0] * 4)
    real = episodes([1.0] * 4, [1.0, 1.0])
    found = compare(dream, real, real, seed=0)
    assert found.returns.dream.values == [8.0, 8.0]
    assert found.returns.gap.value == 5.0
    assert found.lengths.real.values == [4, 2]
    assert found.returns.real.std == pytest.approx(np.sqrt(2.0))
    assert (found.pace.dream, found.pace.real, found.pace.in_real_paces) == (2.0, 1.0, 2.0)
    # The episode of two decisions is too short to count for a pace over four.
    assert (found.pace.window, found.pace.dream_best, found.pace.real_best) == (4, 2.0, 1.0)
    assert found.ceiling.share_above == 1.0


def test_others_episodes_raise_the_ceiling():
    dream, real = episodes([3.0, 0.0], [1.0, 0.0]), episodes([1.0, 0.0], [1.0, -1.0])
    expert = episodes([4.0, 4.0])
    alone, with_expert = compare(dream, real, real, 0), compare(dream, real, real + expert, 0)
    assert alone.ceiling.share_above == 0.25
    assert alone.ceiling.best_real_return == 1.0
    assert with_expert.ceiling.share_above == 0.0
    assert with_expert.ceiling.best_real_return == 8.0
    assert with_expert.returns == alone.returns


def test_a_pace_in_real_paces_needs_a_positive_one():
    found = compare(episodes([1.0], [1.0]), episodes([0.0], [0.0]), episodes([0.0], [0.0]), 0)
    assert np.isnan(found.pace.in_real_paces)


def test_equal_rewards_of_one_a_step_are_not_above_themselves():
    lives = episodes([1.0] * 3, [1.0] * 5)
    found = compare(lives, lives, lives, seed=0)
    assert found.ceiling.share_above == 0.0
    assert found.pace.dream_best == found.pace.real_best == 1.0
    assert found.returns.test.distance == 0.0
