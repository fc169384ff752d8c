"""Actions at the door: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dreamenv_client import DreamEnv, DreamVectorEnv, check_actions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from toy import BOX, DISCRETE, toy_source


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8])
def test_real_numbers_are_cast(dtype):
    given_actions = np.array([[0, 1], [1, 0]], dtype)
    checked = check_actions(BOX, given_actions, 2)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, given_actions)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint64])
def test_integers_are_cast(dtype):
    checked = check_actions(DISCRETE, np.array([0, 2], dtype), 2)
    assert checked.dtype == np.int64
    assert checked.tolist() == [0, 2]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        (3, 2),
        elements=st.floats(-2, 2, width=32) | st.sampled_from([np.nan, np.inf, -np.inf]),
    )
)
def test_taken_exactly_where_the_space_contains_every_lane(actions):
    # Gymnasium's own contains() is the judge; it has no tolerance and wants float32.
    inside = [lane in BOX for lane in actions.astype(np.float32)]
    if all(inside):
        assert all(lane in BOX for lane in check_actions(BOX, actions, 3))
    elif not np.any(np.isclose(np.abs(actions), 1, rtol=0, atol=1e-5) & (np.abs(actions) > 1)):
        with pytest.raises(ValueError, match=rf"^lane {inside.index(False)}: action\[[01]\] is"):
            check_actions(BOX, actions, 3)


def test_rounding_is_forgiven_and_no_more():
    check_actions(BOX, np.full((1, 2), 1 + 5e-7), 1)
    with pytest.raises(ValueError, match=r"lane 0: action\[0\] is 1\.00001"):
        check_actions(BOX, np.full((1, 2), 1.00001), 1)


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (BOX, np.zeros((3, 2)), r"shape \(3, 2\); expected \(2, 2\)"),
        (BOX, np.zeros(2), r"shape \(2,\); expected \(2, 2\)"),
        (BOX, None, r"shape \(\); expected \(2, 2\)"),
        (BOX, [[0.0, 1.0], [0.0]], r"expected an array of shape \(2, 2\)"),
        (BOX, np.zeros((2, 2), bool), r"dtype bool; expected real numbers \(float32\)"),
        (BOX, np.zeros((2, 2), complex), "dtype complex128; expected real"),
        (BOX, np.zeros((2, 2), object), "dtype object; expected real"),
        (BOX, np.full((2, 2), "0"), "dtype <U1; expected real"),
        (BOX, [[0, 0], [0, np.nan]], r"lane 1: action\[1\] is nan; .* in \[-1.0, 1.0\]. .*policy"),
        (BOX, [[0, 0], [1e300, 0]], r"lane 1: action\[0\] is 1e\+300; .*Clip or rescale"),
        (DISCRETE, [0, 3], "lane 1: action is 3; expected an integer from 0 to 2"),
        (DISCRETE, [-1, 0], "lane 0: action is -1; expected an integer from 0 to 2"),
        (DISCRETE, [0.0, 1.0], "dtype float64; expected integers from 0 to 2.*np.int64"),
        (DISCRETE, [0.5, 1.0], "dtype float64; expected integers"),
        (DISCRETE, [True, False], "dtype bool; expected integers"),
        (DISCRETE, [[0], [1]], r"shape \(2, 1\); expected \(2,\)"),
        (gym.spaces.Discrete(2, start=5), [5, 7], "lane 1: action is 7; .* from 5 to 6"),
        (gym.spaces.Box(-1e9, 1e9, (1,)), [[1], [2**24 + 1]], "lane 1: .* no exact float32"),
        (gym.spaces.Box(-np.inf, np.inf, (1,)), [[1.0], [1e300]], "lane 1: .*expected a number"),
    ],
)
def test_refusals_name_lane_value_and_what_was_expected(space, actions, message):
    with pytest.raises(ValueError, match=message):
        check_actions(space, actions, 2)


def test_other_spaces_are_refused():
    with pytest.raises(TypeError, match="expected a Box of floats or a Discrete"):
        check_actions(gym.spaces.MultiBinary(2), np.zeros((1, 2), np.int8), 1)


@pytest.mark.parametrize(("space", "bad"), [(BOX, np.float32([np.nan, 7])), (DISCRETE, 9)])
def test_ignored_lanes_may_hold_anything_and_come_out_valid(space, bad):
    actions = np.stack([np.asarray(bad), np.zeros_like(bad)])
    checked = check_actions(space, actions, 2, ignore=np.array([True, False]))
    assert all(lane in space for lane in checked)
    np.testing.assert_array_equal(actions[0], bad)  # the caller's array is left alone
    with pytest.raises(ValueError, match="lane 0"):
        check_actions(space, actions, 2, ignore=np.array([False, True]))


@pytest.mark.parametrize("bad", [[[0.0, np.nan], [0.0, 0.0]], [[0.0, 0.0]], [[2.0, 0], [0, 0]]])
def test_nothing_moves_on_a_bad_action(bad):
    envs = DreamVectorEnv(toy_source(), 2)
    envs.reset(seed=0)
    before = envs.snapshot()
    with pytest.raises(ValueError, match="expected"):
        envs.step(np.asarray(bad))
    after = envs.snapshot()
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(after.arrays[name], array)


@pytest.mark.parametrize("action", [[0.0], [[0.0, 0.0]], [0.0, np.nan], ["a", "b"], None])
def test_a_single_env_refuses_too(action):
    env = DreamEnv(toy_source())
    env.reset(seed=0)
    before = env.snapshot()
    with pytest.raises(ValueError, match="expected"):
        env.step(action)
    assert env.snapshot().arrays["clock"] == before.arrays["clock"] == 0
