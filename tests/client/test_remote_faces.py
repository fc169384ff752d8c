"""Remote dreams are the local ones, bitwise, through every face."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dreamenv_client import DreamEnv, DreamVectorEnv, RemoteDreamEnv, RemoteDreamVectorEnv
from dreamenv_client.remote_sb3 import RemoteDreamVecEnv
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

import dreamenv
from dreamenv.make import make_env, make_vector_env
from dreamenv.preprocess import build_env
from dreamenv.registration import ANY_PACKAGE
from dreamenv.sources import shipped

STEPS = 70


def same(one, other):
    assert data_equivalence(one, other, exact=True), (one, other)


def walk(envs, steps, mode, seed=5):
    """Everything that a vector env answers."""
    envs.action_space.seed(seed)
    answers = [envs.reset(seed=seed)]
    for _ in range(steps):
        answers.append(envs.step(envs.action_space.sample()))
        over = answers[-1][2] | answers[-1][3]
        if mode is AutoresetMode.DISABLED and over.any():
            answers.append(envs.reset(options={"reset_mask": over}))
    return answers


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("model", ["lively", "discrete"])
@pytest.mark.parametrize("obs", ["features", "latent", "pixels"])
def test_a_vector_env_answers_as_the_local_one(far, packages, model, obs, mode):
    knobs = dict(obs=obs, temperature=[0.5, 1.5], horizon=25, autoreset_mode=mode)
    near = make_vector_env(str(packages[model]), 4, **knobs)
    remote = RemoteDreamVectorEnv(model, 4, server=far.address, **knobs)
    expected = walk(near, STEPS, mode)
    same(walk(remote, STEPS, mode), expected)
    ended = [answer[2:4] for answer in expected if len(answer) == 5]
    assert np.any([terminated for terminated, _ in ended])
    assert np.any([truncated for _, truncated in ended])
    near.close()
    remote.close()


@pytest.mark.parametrize("model", ["lively", "discrete"])
def test_an_env_answers_as_the_local_one(far, packages, model):
    near = make_env(str(packages[model]), render_mode="rgb_array", termination="none")
    remote = RemoteDreamEnv(model, server=far.address, render_mode="rgb_array", termination="none")
    frame = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    taken = np.stack([near.action_space.sample() for _ in range(2)])

    def play(env):
        yield env.reset(seed=3, options={"start": 7})
        yield env.render()
        env.action_space.seed(0)
        for _ in range(5):
            yield env.step(env.action_space.sample())
        env.set_knobs(temperature=0.1, horizon=8)
        here = env.snapshot()
        onward = [env.step(env.action_space.sample()) for _ in range(3)]
        yield onward
        assert onward[-1][3]
        env.action_space.seed(1)
        yield env.restore(here)
        twin = env.branch()
        other = env.branch(seed=9)
        action = env.action_space.sample()
        yield [each.step(action) for each in (env, twin, other)]
        twin.close()
        other.close()
        yield env.reset(options={"observations": frame, "actions": taken})
        yield env.step(action)
        env.close()

    for mine, theirs in zip(play(remote), play(near), strict=True):
        same(mine, theirs)


def test_gymnasiums_checker_is_content(far):
    env = RemoteDreamEnv("lively", server=far.address)
    check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("name", [ANY_PACKAGE, *shipped()])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_registered_ids_take_a_server(far, packages, name, mode):
    near, remote = {}, {"server": far.address}
    if name == ANY_PACKAGE:
        near, remote = {"model": str(packages["lively"])}, {"model": "lively", **remote}
    answers = []
    for where in (near, remote):
        how = dict(where, horizon=6, autoreset_mode=mode.value)
        envs = gym.make_vec(name, num_envs=3, **how)
        assert isinstance(envs, dreamenv.DreamVectorEnv)
        answers.append(walk(envs, 14, mode))
        envs.close()
    same(*answers)
    env, far_env = gym.make(name, **near), gym.make(name, **remote)
    assert far_env.observation_space == env.observation_space
    same(far_env.reset(seed=1), env.reset(seed=1))
    env.close()
    far_env.close()


def test_specs_go_through_json(far):
    how = dict(server=far.address, horizon=7, temperature=[0.5, 1.5], snapshot_every=3)
    for name, more in (
        ("Dream-v0", {"model": "lively"}),
        ("dreamenv_client:RemoteDream-v0", {"dream": "lively"}),
    ):
        env = gym.make(name, **how, **more)
        again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        assert again.spec == env.spec
        envs = gym.make_vec(name, num_envs=2, **how, **more)
        many = gym.make_vec(gym.envs.registration.EnvSpec.from_json(envs.spec.to_json()))
        first = env.reset(seed=2)[0]
        for other in (again.reset(seed=2)[0], envs.reset(seed=2)[0][0], many.reset(seed=2)[0][0]):
            np.testing.assert_array_equal(other, first)
        for made in (env, again, envs, many):
            made.close()


def test_make_vec_limits_episodes(far):
    envs = gym.make_vec(
        "dreamenv_client:RemoteDream-v0",
        num_envs=2,
        server=far.address,
        dream="lively",
        termination="none",
        max_episode_steps=3,
    )
    envs.reset(seed=0)
    truncated = [envs.step(envs.action_space.sample())[3].all() for _ in range(3)]
    assert truncated == [False, False, True]
    envs.close()


def test_sb3_answers_as_the_local_one(far, packages):
    near = dreamenv.sb3.DreamVecEnv(str(packages["lively"]), 4, horizon=12)
    remotes = [
        dreamenv.sb3.DreamVecEnv("lively", 4, horizon=12, server=far.address),
        RemoteDreamVecEnv("lively", 4, horizon=12, server=far.address),
    ]
    near.action_space.seed(0)
    for envs in (near, *remotes):
        envs.seed(4)
    first = near.reset()
    for envs in remotes:
        np.testing.assert_array_equal(envs.reset(), first)
    for _ in range(40):
        actions = np.stack([near.action_space.sample() for _ in range(4)])
        expected = near.step(actions)
        for envs in remotes:
            same(envs.step(actions), expected)
            same(envs.reset_infos, near.reset_infos)
    for envs in (near, *remotes):
        envs.close()


def test_ppo_learns_the_same_seed_for_seed(far, packages):
    from stable_baselines3 import PPO

    learnt = []
    for envs in (
        dreamenv.sb3.DreamVecEnv(str(packages["lively"]), 4),
        dreamenv.sb3.DreamVecEnv("lively", 4, server=far.address),
    ):
        envs.seed(1)
        agent = PPO("MlpPolicy", envs, n_steps=16, batch_size=32, n_epochs=2, seed=1, device="cpu")
        agent.learn(256)
        learnt.append(agent.policy.state_dict())
        envs.close()
    one, other = learnt
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("obs", ["features", "pixels"])
def test_the_real_env_through_a_server_is_as_through_the_model_here(far, obs):
    name = "Dream-CarRacing-v0"
    near = dreamenv.make_real(name, obs=obs)
    remote = dreamenv.make_real(name, obs=obs, server=far.address)
    assert remote.observation_space == near.observation_space
    near.action_space.seed(0)
    actions = [near.action_space.sample() for _ in range(3)]
    for _ in range(2):
        same(remote.reset(seed=3), near.reset(seed=3))
        for action in actions:
            same(remote.step(action), near.step(action))
    near.close()
    remote.close()
    same(remote.reset(seed=4)[0], near.reset(seed=4)[0])
    near.close()
    remote.close()


def test_a_real_env_that_the_server_alone_knows(far, packages):
    remote = dreamenv.make_real("lively", server=far.address)
    near = dreamenv.make_real(str(packages["lively"]))
    assert remote.observation_space == near.observation_space
    raw = build_env(near._config.real)
    assert raw.observation_space.shape != (16, 16, 3)  # lively's own real env is not its frames
    with pytest.raises(dreamenv.errors.DataError, match="expects observations and actions"):
        remote.reset(seed=0)
    raw.close()


def test_rollouts_are_steps_of_copies(far, packages):
    envs = RemoteDreamVectorEnv("lively", 3, server=far.address)
    envs.action_space.seed(0)
    envs.reset(seed=2)
    for _ in range(3):
        envs.step(envs.action_space.sample())
    before = envs.snapshot()
    origin, horizon = [2, 0, 0, 1], 40
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (4, horizon, 3)).astype(np.float32)
    for seeds in (None, [5, 6, 7, 8]):
        found = envs.rollout(actions, lanes=origin, seeds=seeds)
        lean = envs.rollout(actions, lanes=origin, seeds=seeds, observations=False)
        assert lean.observation.shape == (4, 0, 12)
        np.testing.assert_array_equal(lean.reward, found.reward)
        oracle = make_vector_env(str(packages["lively"]), 3)
        oracle.reset(seed=0)
        oracle.restore(before)
        lanes = make_vector_env(str(packages["lively"]), 4)
        lanes.reset(seed=0)
        for at, lane in enumerate(origin):
            lanes.restore(oracle.snapshot([lane]), lanes=[at])
        if seeds is not None:
            lanes.branch(range(4), range(4), seeds)
        over, partly = np.zeros(4, bool), False
        for time in range(horizon):
            expected = lanes.step(actions[:, time])  # those that are over begin anew, unseen
            going = ~over
            np.testing.assert_array_equal(found.observation[going, time], expected[0][going])
            np.testing.assert_array_equal(found.reward[going, time], expected[1][going])
            assert not found.observation[over, time].any()
            over |= expected[2] | expected[3]
            np.testing.assert_array_equal(
                found.terminated[:, time] | found.truncated[:, time], over
            )
            partly |= bool(over.any() and not over.all())
        assert partly
        for made in (oracle, lanes):
            made.close()
    assert data_equivalence(envs.snapshot().arrays, before.arrays, exact=True)
    envs.close()


def test_snapshots_go_from_a_server_into_a_dream_here(far, packages):
    remote = RemoteDreamEnv("lively", server=far.address)
    near = make_env(str(packages["lively"]))
    remote.reset(seed=1)
    remote.step(remote.action_space.sample())
    here = remote.snapshot()
    near.reset(seed=8)
    same(near.restore(here)[0], remote.restore(here)[0])
    action = near.action_space.sample()
    same(near.step(action), remote.step(action))
    with pytest.raises(ValueError, match="LaneSnapshot without a server's signature"):
        remote.restore(near.snapshot())
    with pytest.raises(ValueError, match="read-only"):
        here.arrays["seed"][:] = 3
    near.close()
    remote.close()


@pytest.mark.parametrize("face", [DreamEnv, DreamVectorEnv])
def test_arrays_are_fresh_writable_and_aligned(far, face):
    kind = RemoteDreamEnv if face is DreamEnv else RemoteDreamVectorEnv
    env = kind("lively", server=far.address, termination="none")
    kept = [env.reset(seed=0)[0]]
    kept += [env.step(env.action_space.sample())[0] for _ in range(3)]
    for array in kept:
        assert array.flags.writeable
        assert array.flags.aligned
        array[...] = 0
    assert env.step(env.action_space.sample())[0].any()
    env.close()
