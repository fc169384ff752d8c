"""Bounds against the check that they spare."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dreamenv_client.actions import check_actions
from dreamenv_client.bounds import FEW, Bounds
from hypothesis import given
from hypothesis import strategies as st

SPACES = {
    "alike": gym.spaces.Box(-1, 1, (3,)),
    "apart": gym.spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32)),
    "open": gym.spaces.Box(-np.inf, np.inf, (3,)),
    "half open": gym.spaces.Box(0, np.inf, (3,)),
    "wide": gym.spaces.Box(-2, 3, (3,), np.float64),
    "discrete": gym.spaces.Discrete(4, start=-1),
}
LANES = (1, 2, FEW, 200)
ODD = (np.nan, np.inf, -np.inf, -1.0, 1.0, 0.0, 1.0000001, -1.5, 2.0, 1e30)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", SPACES)
@given(st.sampled_from(ODD), st.integers(0, 10**6), st.integers(0, 2**32 - 1))
def test_what_surely_holds_is_taken_as_it_is(name, lanes, value, place, seed):
    space = SPACES[name]
    luck = np.random.default_rng(seed)
    if name == "discrete":
        actions = luck.integers(-1, 3, lanes)
        actions[place % lanes] = np.clip(np.nan_to_num(value), -9, 9)
    else:
        low, high = np.nan_to_num(space.low, neginf=-5), np.nan_to_num(space.high, posinf=5)
        actions = luck.uniform(low, high, (lanes, 3)).astype(space.dtype)
        actions.flat[place % actions.size] = value
    if Bounds(space, lanes).surely_hold(actions):
        assert check_actions(space, actions, lanes) is actions


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", ["alike", "wide", "discrete"])
def test_good_actions_surely_hold(name, lanes):
    space = SPACES[name]
    if name == "discrete":
        actions = np.resize(np.arange(-1, 3), lanes)
    else:
        actions = np.stack([space.low, space.high] * lanes)[:lanes]
    assert Bounds(space, lanes).surely_hold(actions)


@pytest.mark.parametrize("lanes", LANES)
def test_nothing_is_said_of_others(lanes):
    bounds = Bounds(SPACES["alike"], lanes)
    good = np.zeros((lanes, 3), np.float32)
    for other in (good.tolist(), good.astype(np.float64), good[None], good[:, :2]):
        assert not bounds.surely_hold(other)
