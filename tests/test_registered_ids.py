"""Every registered id, with every observation kind, in everything that takes a Gymnasium env.

The tiny packages stand for any package through ``Dream-v0``. Warnings are errors (pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers import (
    FrameStackObservation,
    RecordEpisodeStatistics,
    RecordVideo,
    TimeLimit,
)
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import dreamenv
from dreamenv.registration import ANY_PACKAGE
from dreamenv.sb3 import DreamVecEnv
from dreamenv.sources import shipped

KINDS = ["features", "latent", "pixels"]
ALGORITHMS: dict[str, dict[str, Any]] = {
    "PPO": dict(n_steps=8, batch_size=8, n_epochs=1),
    "A2C": dict(n_steps=4),
    "SAC": dict(buffer_size=64, batch_size=8, learning_starts=8, train_freq=4),
    "TD3": dict(buffer_size=64, batch_size=8, learning_starts=8, train_freq=4),
    "DQN": dict(buffer_size=64, batch_size=8, learning_starts=8, target_update_interval=4),
}
TAKES = {"box": ["PPO", "A2C", "SAC", "TD3"], "discrete": ["PPO", "A2C", "DQN"]}


@pytest.fixture(params=[*shipped(), "tiny", "tiny-discrete"])
def dream(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A registered id, and the ``model`` that ``Dream-v0`` needs."""
    if request.param == "tiny":
        return ANY_PACKAGE, {"model": str(request.getfixturevalue("tiny_package"))}
    if request.param == "tiny-discrete":
        return ANY_PACKAGE, {"model": str(request.getfixturevalue("tiny_discrete_package"))}
    return request.param, {}


def test_all_ids_are_registered():
    registered = {name for name in gym.registry if name.startswith("Dream-")}
    assert registered == {ANY_PACKAGE, *shipped()}
    assert all(gym.spec(name).max_episode_steps is None for name in registered)


@pytest.mark.parametrize("obs", KINDS)
def test_gymnasium_check_env(dream, obs):
    name, model = dream
    env = gym.make(name, obs=obs, **model).unwrapped
    check_env(env)
    env.close()


@pytest.mark.parametrize("obs", KINDS)
def test_sb3_check_env(dream, obs):
    name, model = dream
    env = gym.make(name, obs=obs, render_mode="rgb_array", **model)
    sb3_check_env(env, warn=True, skip_render_check=False)
    env.close()


@pytest.mark.parametrize("obs", KINDS)
def test_what_the_real_env_shows_and_takes_is_in_the_dreams_spaces(dream, obs):
    name, model = dream
    env = gym.make(name, obs=obs, **model)
    real = dreamenv.make_real(model.get("model", name), obs=obs)
    assert env.observation_space == real.observation_space
    assert env.action_space == real.action_space
    if isinstance(env.action_space, gym.spaces.Box):
        assert env.action_space == gym.spaces.Box(-1.0, 1.0, env.action_space.shape, np.float32)
    assert np.isfinite(env.observation_space.low).all()
    assert np.isfinite(env.observation_space.high).all()

    shown = [real.reset(seed=0)[0]]
    under = real.unwrapped._env.unwrapped
    taken, step = [], under.step
    under.step = lambda action: taken.append(action) or step(action)
    env.action_space.seed(0)
    for _ in range(2):
        shown.append(real.step(env.action_space.sample())[0])
    for observation in shown:
        assert env.observation_space.contains(observation)
        assert (observation.dtype, observation.shape) == (
            env.observation_space.dtype,
            env.observation_space.shape,
        )
    assert len(taken) >= 2
    assert all(under.action_space.contains(action) for action in taken)
    real.close()
    env.close()


@pytest.mark.parametrize("obs", KINDS)
def test_make_vec(dream, obs):
    name, model = dream
    one = gym.make(name, obs=obs, **model)
    for mode in AutoresetMode:
        envs = gym.make_vec(name, num_envs=3, obs=obs, autoreset_mode=mode.value, **model)
        assert isinstance(envs, dreamenv.DreamVectorEnv)
        assert envs.metadata["autoreset_mode"] is mode
        assert envs.single_observation_space == one.observation_space
        assert envs.single_action_space == one.action_space
        observation, _ = envs.reset(seed=1)
        assert observation in envs.observation_space
        observation, reward, *_ = envs.step(envs.action_space.sample())
        assert observation in envs.observation_space
        assert reward.shape == (3,)
        envs.close()
    one.close()


def test_specs_go_through_json(dream):
    name, model = dream
    knobs = dict(obs="latent", temperature=[0.5, 1.5], termination="none", horizon=7, **model)
    env = gym.make(name, render_mode="rgb_array", **knobs)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    envs = gym.make_vec(name, num_envs=2, autoreset_mode="SameStep", **knobs)
    many = gym.make_vec(gym.envs.registration.EnvSpec.from_json(envs.spec.to_json()))
    assert many.num_envs == 2
    assert many.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    first, _ = env.reset(seed=5)
    for other in (again.reset(seed=5)[0], envs.reset(seed=5)[0][0], many.reset(seed=5)[0][0]):
        np.testing.assert_array_equal(first, other)
    for made in (env, again, envs, many):
        made.close()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_async_vector_env_dreams_what_make_vec_dreams(dream):
    name, model = dream
    envs = gym.make_vec(name, num_envs=2, **model)
    singles = AsyncVectorEnv([lambda: gym.make(name, **model)] * 2)
    try:
        envs.action_space.seed(0)
        np.testing.assert_array_equal(envs.reset(seed=3)[0], singles.reset(seed=3)[0])
        endings = 0
        for _ in range(25):
            actions = envs.action_space.sample()
            ours, theirs = envs.step(actions), singles.step(actions)
            for mine, other in zip(ours[:4], theirs[:4], strict=True):
                np.testing.assert_array_equal(mine, other)
            endings += int((ours[2] | ours[3]).sum())
        assert endings > 0 or name != ANY_PACKAGE
    finally:
        singles.close()
        envs.close()


def test_frame_stack(dream):
    name, model = dream
    plain = gym.make(name, termination="none", **model)
    stacked = FrameStackObservation(gym.make(name, termination="none", **model), 3)
    frames = [plain.reset(seed=2)[0]]
    stacked.reset(seed=2)
    for _ in range(3):
        action = plain.action_space.sample()
        frames.append(plain.step(action)[0])
        last = stacked.step(action)[0]
    np.testing.assert_array_equal(last, np.stack(frames[-3:]))
    plain.close()
    stacked.close()


def test_record_episode_statistics(dream):
    name, model = dream
    env = RecordEpisodeStatistics(gym.make(name, horizon=6, **model))
    env.reset(seed=1)
    rewards, over = [], False
    while not over:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        rewards.append(reward)
        over = terminated or truncated
    assert info["episode"]["r"] == pytest.approx(sum(rewards), abs=1e-5)
    assert info["episode"]["l"] == len(rewards) <= 6
    env.close()


@pytest.mark.parametrize("by", ["wrapper", "gym.make"])
def test_time_limit(dream, by):
    name, model = dream
    if by == "wrapper":
        env = TimeLimit(gym.make(name, termination="none", **model), 4)
    else:
        env = gym.make(name, termination="none", max_episode_steps=4, **model)
    env.reset(seed=1)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]
    env.close()


def test_record_video(dream, tmp_path: Path):
    name, model = dream
    made = gym.make(name, render_mode="rgb_array", horizon=5, **model)
    env = RecordVideo(made, str(tmp_path / "films"), episode_trigger=lambda _: True)
    env.reset(seed=1)
    over = False
    while not over:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
    env.close()
    (film,) = (tmp_path / "films").glob("*.mp4")
    assert film.stat().st_size > 0


@pytest.mark.parametrize("obs", ["features", "pixels"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_that_takes_the_actions(dream, algorithm, obs):
    name, model = dream
    env = gym.make(name, obs=obs, **model)
    kind = "box" if isinstance(env.action_space, gym.spaces.Box) else "discrete"
    learner = getattr(stable_baselines3, algorithm)
    policy = "CnnPolicy" if len(env.observation_space.shape) == 3 else "MlpPolicy"
    settings = dict(ALGORITHMS[algorithm], seed=0, device="cpu", policy_kwargs={"net_arch": [8]})
    if algorithm not in TAKES[kind]:
        with pytest.raises(AssertionError, match="action space"):
            learner(policy, env, **settings)
        env.close()
        return
    lanes = DreamVecEnv(model.get("model", name), num_envs=2, obs=obs)
    for learns_in in (env, lanes):
        agent = learner(policy, learns_in, **settings)
        before = {k: v.clone() for k, v in agent.policy.state_dict().items()}
        agent.learn(24)
        assert agent.num_timesteps >= 24
        after = agent.policy.state_dict()
        assert any((before[k] != after[k]).any() for k in before)
        action, _ = agent.predict(env.reset()[0], deterministic=True)
        assert env.action_space.contains(action if kind == "box" else int(action))
    lanes.close()
    env.close()
