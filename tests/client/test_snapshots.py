"""Snapshots and branches: a dream goes on from them as if nothing had come between."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client import DreamEnv, DreamVectorEnv, LaneSnapshot
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from toy import run, some_actions, toy_source


def test_snapshot_and_restore_go_on_exactly():
    env = DreamEnv(toy_source())
    env.reset(seed=5)
    run(env, some_actions(9))
    here = env.snapshot()
    future = run(env, some_actions(30, seed=1))
    shown, info = env.restore(here)
    np.testing.assert_array_equal(shown, here.arrays["x"][0])
    assert info["clock"] == here.arrays["clock"][0]
    assert data_equivalence(run(env, some_actions(30, seed=1)), future, exact=True)

    elsewhere = DreamEnv(toy_source())  # one that was never reset
    elsewhere.restore(here)
    assert data_equivalence(run(elsewhere, some_actions(30, seed=1)), future, exact=True)


def test_a_snapshot_of_a_finished_episode_is_finished():
    env = DreamEnv(toy_source())
    env.reset(seed=0)
    while not any(env.step([0, 0])[2:4]):
        pass
    here = env.snapshot()
    env.reset()
    env.restore(here)
    with pytest.raises(ResetNeeded, match="episode is over"):
        env.step([0, 0])


def test_a_branch_has_the_same_future_unless_seeded():
    env = DreamEnv(toy_source(), render_mode="rgb_array")
    env.set_knobs(temperature=0.5)
    env.reset(seed=5)
    env.step([0.1, 0.2])
    twin, other = env.branch(), env.branch(seed=9)
    np.testing.assert_array_equal(twin.render(), env.render())
    np.testing.assert_array_equal(other.render(), env.render())
    future = run(env, some_actions(20))
    assert data_equivalence(run(twin, some_actions(20)), future, exact=True)
    assert not data_equivalence(run(other, some_actions(20)), future, exact=True)


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (LaneSnapshot("other", {"x": np.zeros((1, 3))}), "'other'; expected 'toy'"),
        (LaneSnapshot("toy", {"x": np.zeros((2, 3))}), "holds 2 lanes; expected 1"),
        ({"x": 1}, "type dict; expected a LaneSnapshot"),
    ],
)
def test_foreign_snapshots_are_refused(snapshot, message):
    env = DreamEnv(toy_source())
    env.reset(seed=0)
    future = run(env.branch(), some_actions(5))
    with pytest.raises(ValueError, match=message):
        env.restore(snapshot)
    assert data_equivalence(run(env, some_actions(5)), future, exact=True)


def test_a_snapshot_moves_between_faces():
    env, envs = DreamEnv(toy_source()), DreamVectorEnv(toy_source(), 3)
    env.reset(seed=8)
    env.step([0.5, 0.5])
    envs.reset(seed=1)
    envs.restore(env.snapshot(), lanes=[1])
    future = env.step([0.1, -0.1])
    observation, reward, *_ = envs.step(np.tile([0.1, -0.1], (3, 1)))
    np.testing.assert_array_equal(observation[1], future[0])
    assert reward[1] == future[1]
    env.restore(envs.snapshot(lanes=[1]))
    np.testing.assert_array_equal(env.snapshot().arrays["x"][0], future[0])


def test_branch_copies_lanes_and_their_future():
    dream = DreamVectorEnv(toy_source(), 4)
    dream.reset(seed=0)
    dream.step(dream.action_space.sample())
    observation, infos = dream.branch([0, 0], [1, 3])
    np.testing.assert_array_equal(observation[[1, 3]], observation[[0, 0]])
    assert infos["_x"].tolist() == [False, True, False, True]
    for _ in range(20):
        actions = np.tile(dream.action_space.sample()[:1], (4, 1))
        observation, *_ = dream.step(actions)
        np.testing.assert_array_equal(observation[[1, 3]], observation[[0, 0]])
        assert not np.array_equal(observation[2], observation[0])

    dream.branch([0, 0], [1, 3], seeds=[5, 6])
    dream.step(np.zeros((4, 2)))
    observation, *_ = dream.step(np.zeros((4, 2)))
    assert len({row.tobytes() for row in observation}) == 4
    for source, target, seeds in (([0], [1, 2], None), ([0], [1], [1, 2]), ([0, 1], [2, 2], None)):
        with pytest.raises(ValueError, match="expected"):
            dream.branch(source, target, seeds)


def test_a_branch_of_a_lane_that_waits_waits_too():
    dream = DreamVectorEnv(toy_source(), 2)
    dream.reset(seed=[0, 1])
    over = np.zeros(2, bool)
    while not over[0] or over[1]:
        _, _, terminated, truncated, _ = dream.step(np.zeros((2, 2)))
        over = terminated | truncated
    dream.branch([0], [1])
    observation, *_, infos = dream.step(np.full((2, 2), np.nan))  # both begin: no action is used
    np.testing.assert_array_equal(observation[0], observation[1])
    assert infos["clock"].tolist() == [0, 0]
