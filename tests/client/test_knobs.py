"""Knobs: set before the first reset or after it, on all lanes or some."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from dreamenv_client import DreamEnv, DreamVectorEnv, LaneSource
from toy import BOX, FEATURES, check_knobs, toy_source


def test_knobs_set_before_the_first_reset_hold_and_survive_copies():
    env = DreamEnv(toy_source())
    env.set_knobs(temperature=4.0, horizon=9)
    env.set_knobs(horizon=1)
    env.reset(seed=0)
    assert env.step([0, 0])[3] is True
    knobs = env.snapshot().arrays
    assert (knobs["temperature"], knobs["horizon"]) == (4, 1)
    env.set_knobs(horizon=2)
    twin = copy.deepcopy(env)
    twin.reset(seed=0)
    assert twin.step([0, 0])[3] is False
    assert twin.step([0, 0])[3] is True


def test_bad_knobs_are_refused_at_once_where_the_source_can_tell():
    source = toy_source()
    env = DreamEnv(LaneSource(FEATURES, BOX, source.open, check_knobs=check_knobs))
    with pytest.raises(ValueError, match="temperature is -1"):
        env.set_knobs(temperature=-1)
    env.reset(seed=0)

    env = DreamEnv(source)
    env.set_knobs(temperature=2)
    env.set_knobs(horizon=-1)
    with pytest.raises(ValueError, match="horizon is -1"):
        env.reset(seed=0)
    env.reset(seed=0)  # the bad one was forgotten, the good one was not
    assert env.snapshot().arrays["temperature"] == 2


@pytest.mark.parametrize("early", [True, False])
def test_knobs_of_single_lanes(early):
    dream = DreamVectorEnv(toy_source(shortest=20), 3)
    if not early:
        dream.reset(seed=0)
    dream.set_knobs(horizon=5)
    dream.set_knobs(lanes=[1], horizon=9)
    dream.set_knobs(horizon=7)
    dream.set_knobs(lanes=[0, 2], horizon=1)
    dream.set_knobs(lanes=2, horizon=2)
    if early:
        dream.reset(seed=0)
    assert dream.snapshot().arrays["horizon"].tolist() == [1, 7, 2]
    assert dream.step(np.zeros((3, 2)))[3].tolist() == [True, False, False]
    for bad in (3, -1, [0, 0], [True], ["0"], [0.5]):
        with pytest.raises(ValueError, match="expected"):
            dream.set_knobs(lanes=bad, horizon=5)
    with pytest.raises(ValueError, match="expected"):
        dream.set_knobs(lanes=[0], horizon=-5)
    assert dream.snapshot().arrays["horizon"].tolist() == [1, 7, 2]
