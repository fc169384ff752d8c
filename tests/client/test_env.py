"""One lane as a Gymnasium env."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dreamenv_client import DreamEnv, LaneSource
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, TimeLimit
from toy import BOX, FEATURES, PlainToy, ToyLanes, run, some_actions, toy_source


@pytest.mark.parametrize("kind", [{}, {"discrete": True}, {"pixels": True}], ids=str)
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_gymnasiums_checker(kind, render_mode, monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", {})
    gym.register("Toy-v0", lambda **kwargs: DreamEnv(toy_source(**kind), **kwargs))
    check_env(gym.make("Toy-v0", render_mode=render_mode).unwrapped)


@pytest.mark.parametrize("seed", [0, 7, np.int64(3)])
def test_dreams_what_the_plain_env_dreams(seed):
    dream, plain = DreamEnv(toy_source(shortest=1)), PlainToy(shortest=1)
    assert data_equivalence(dream.reset(seed=seed), plain.reset(seed=int(seed)), exact=True)
    actions = some_actions(60)
    assert data_equivalence(run(dream, actions), run(plain, actions), exact=True)


def test_types_are_gymnasiums():
    env = DreamEnv(toy_source())
    env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step([0.5, -0.5])
    assert observation in env.observation_space
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert type(info["clock"]) is np.int64
    assert type(info["late"]) is bool
    assert env.metadata["render_fps"] == 12.5


def test_a_seed_repeats_and_no_seed_goes_on():
    env = DreamEnv(toy_source())
    first, second = env.reset(seed=4)[0], env.reset()[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(env.reset(seed=4)[0], first)
    np.testing.assert_array_equal(env.reset()[0], second)


def test_a_first_reset_without_a_seed_can_be_repeated():
    env, other = DreamEnv(toy_source()), DreamEnv(toy_source())
    observation = env.reset()[0]
    assert env.np_random_seed != other.np_random_seed  # both from the operating system
    assert not np.array_equal(observation, other.reset()[0])
    np.testing.assert_array_equal(other.reset(seed=env.np_random_seed)[0], observation)


def test_a_generator_set_by_the_user_gives_the_first_seed():
    observations = []
    for generator in (1, 1, 2):
        env = DreamEnv(toy_source())
        env.np_random = np.random.default_rng(generator)
        observations.append(env.reset()[0])
    np.testing.assert_array_equal(observations[0], observations[1])
    assert not np.array_equal(observations[0], observations[2])


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, [1]])
def test_bad_seeds_change_nothing(seed):
    env = DreamEnv(toy_source())
    env.reset(seed=1)
    env.step([0, 0])
    before, generator = env.snapshot(), env.np_random.bit_generator.state
    with pytest.raises(ValueError, match="expected an integer of at least 0"):
        env.reset(seed=seed)
    assert data_equivalence(env.snapshot().arrays, before.arrays, exact=True)
    assert env.np_random.bit_generator.state == generator


def test_options_reach_the_lane_and_bad_ones_change_nothing():
    env = DreamEnv(toy_source())
    np.testing.assert_array_equal(env.reset(seed=1, options={"start": 3})[0], np.float32([0.3] * 3))
    env.step([0, 0])
    before, seed = env.snapshot(), env.np_random_seed
    with pytest.raises(ValueError, match="unknown option"):
        env.reset(seed=2, options={"track": 1})
    for options in (5, "abc", [], 0):
        with pytest.raises(ValueError, match=r"options is .*; expected a dict"):
            env.reset(seed=2, options=options)
    assert data_equivalence(env.snapshot().arrays, before.arrays, exact=True)
    assert env.np_random_seed == seed


def test_calls_out_of_order_are_refused():
    env = DreamEnv(toy_source(), render_mode="rgb_array")
    for call in (lambda: env.step([0, 0]), env.render, env.snapshot, env.branch):
        with pytest.raises(ResetNeeded, match="call reset first"):
            call()
    env.reset(seed=0)
    while not any(env.step([0, 0])[2:4]):
        pass
    with pytest.raises(ResetNeeded, match="episode is over"):
        env.step([0, 0])
    env.reset()
    env.step([0, 0])
    env.close()
    env.close()
    for call in (lambda: env.step([0, 0]), env.render, env.snapshot):
        with pytest.raises(ClosedEnvironmentError, match="closed"):
            call()
    with pytest.raises(ClosedEnvironmentError, match="closed"):
        env.set_knobs(temperature=1)
    env.reset(seed=0)
    env.step([0, 0])


def test_lanes_that_are_not_as_declared_are_refused_and_closed():
    opened = []

    def other(num_lanes):
        opened.append(ToyLanes(num_lanes, discrete=True))
        return opened[-1]

    env = DreamEnv(LaneSource(FEATURES, BOX, other))
    with pytest.raises(ValueError, match=r"action_space Discrete.*expected Box"):
        env.reset(seed=0)
    assert opened[0].closed


def test_render():
    env = DreamEnv(toy_source(), render_mode="rgb_array")
    env.reset(seed=1, options={"start": -10})
    assert not env.render().any()
    assert env.render().shape == (48, 48, 3)
    with pytest.raises(ValueError, match="render_mode is 'human'"):
        DreamEnv(toy_source(), render_mode="human")
    env = DreamEnv(toy_source())
    env.reset(seed=1)
    with pytest.warns(UserWarning, match="without a render mode"):
        assert env.render() is None


def test_spaces_of_two_envs_are_sampled_apart():
    source = toy_source()
    one, two = DreamEnv(source), DreamEnv(source)
    one.action_space.seed(3)
    two.action_space.seed(3)
    expected = two.action_space.sample()
    two.action_space.seed(3)
    one.action_space.sample()
    np.testing.assert_array_equal(two.action_space.sample(), expected)


def test_usual_wrappers_run():
    env = RecordEpisodeStatistics(
        FrameStackObservation(TimeLimit(DreamEnv(toy_source(shortest=9)), 4), 2)
    )
    observation, _ = env.reset(seed=0)
    rewards, over = [], False
    while not over:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        rewards.append(reward)
        over = terminated or truncated
    assert observation.shape == (2, 3)
    assert truncated
    assert info["episode"]["l"] == 4
    assert info["episode"]["r"] == pytest.approx(sum(rewards))
