"""A batch of lanes as an SB3 VecEnv; SB3's own DummyVecEnv is the oracle."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from dreamenv_client import DreamEnv, DreamVectorEnv
from dreamenv_client.sb3 import DreamVecEnv
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.wrappers import TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor, VecNormalize
from toy import toy_source


def both(lanes, **how):
    dream = DreamVecEnv(toy_source(**how), lanes)
    return dream, DummyVecEnv([lambda: DreamEnv(toy_source(**how))] * lanes)


def assert_same(one, two):
    assert data_equivalence(one, two, exact=True), f"{one}\n{two}"


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    lanes=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 25),
    how=st.fixed_dictionaries({"shortest": st.integers(1, 3), "discrete": st.booleans()}),
)
def test_every_answer_is_the_oracles(lanes, seed, steps, how):
    dream, oracle = both(lanes, **how)
    assert dream.seed(seed) == oracle.seed(seed)
    assert_same(dream.reset(), oracle.reset())
    assert_same(dream.reset_infos, oracle.reset_infos)
    dream.action_space.seed(seed)
    for step in range(steps):
        actions = np.stack([dream.action_space.sample() for _ in range(lanes)])
        assert_same(dream.step(actions), oracle.step(actions))
        assert_same(dream.reset_infos, oracle.reset_infos)
        if step == 10:  # seeds are used once: this reset goes on
            assert_same(dream.reset(), oracle.reset())


@pytest.mark.parametrize("options", [{"start": 4}, [{"start": 4}, {"start": -7}, {"start": 0}]])
def test_options_are_used_once(options):
    dream, oracle = both(3)
    for venv in (dream, oracle):
        venv.seed(1)
        venv.set_options(options)
    assert_same(dream.reset(), oracle.reset())
    assert_same(dream.reset(), oracle.reset())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([{"start": 4}, {}, {}], "the lanes' options differ"),
        ([{"start": 4}], "got 1 dicts; expected one dict, or one for each of 3 lanes"),
        ({"track": 4}, "unknown option"),
        (5, "set_options got 5; expected one dict, or one for each of 3 lanes"),
        ("abc", "options is 'a'; expected a dict"),
        ([{"start": [1]}, {"start": [1, 2]}, {"start": 0}], "options: start: no array"),
        ([{1: 0, "start": 4}, {}, {}], "the lanes' options differ"),
    ],
)
def test_bad_options_are_refused(options, message):
    dream, _ = both(3)
    dream.set_options(options)
    with pytest.raises(ValueError, match=message):
        dream.reset()
    dream.set_options()
    dream.reset()


def test_truncation_and_termination_are_told_apart():
    dream, _ = both(6)
    dream.seed(0)
    dream.reset()
    seen = set()
    for _ in range(30):
        _, _, dones, infos = dream.step(np.zeros((6, 2), np.float32))
        for done, info in zip(dones, infos, strict=True):
            assert ("terminal_observation" in info) == done
            assert info["x"].base is None  # kept, it would keep the whole batch in memory
            if done:
                assert info["terminal_observation"].base is None
                np.testing.assert_array_equal(info["terminal_observation"], info["x"])
                seen.add(info["TimeLimit.truncated"])
            else:
                assert info["TimeLimit.truncated"] is False
    assert seen == {True, False}


def test_calls_out_of_order_and_bad_actions_are_refused():
    dream, _ = both(2)
    with pytest.raises(ResetNeeded, match="call reset first"):
        dream.step(np.zeros((2, 2)))
    dream.reset()
    for _ in range(2):
        with pytest.raises(ValueError, match="lane 1"):
            dream.step(np.array([[0, 0], [0, np.nan]]))
    dream.step_async(np.zeros((2, 2)))
    dream.step_wait()
    with pytest.raises(ValueError, match="expected"):  # no action is used twice
        dream.step_wait()
    dream.close()
    dream.close()


def test_attributes_and_methods():
    dream = DreamVecEnv(toy_source(), 3, render_mode="rgb_array")
    assert dream.render_mode == "rgb_array"
    assert dream.get_attr("render_mode", [0, 2]) == ["rgb_array"] * 2
    assert dream.has_attr("num_envs")
    assert not dream.has_attr("gravity")
    assert dream.get_attr("spec") == both(3)[1].get_attr("spec") == [None] * 3
    assert dream.env_is_wrapped(Monitor) == [False] * 3
    assert dream.env_is_wrapped(Monitor, 1) == [False]
    dream.set_attr("label", 4)
    assert dream.get_attr("label") == [4, 4, 4]
    with pytest.raises(ValueError, match="names some lanes; expected all"):
        dream.set_attr("label", 5, indices=[0])
    with pytest.raises(AttributeError, match="lanes have no method 'jump'"):
        dream.env_method("jump")
    assert dream.metadata == {"render_modes": ["human", "rgb_array"], "render_fps": 12.5}

    dream.env_method("set_knobs", horizon=1, indices=[1])
    dream.set_options({"start": [-10, 0, 10]})
    dream.reset()
    assert dream.render().shape == (96, 96, 3)
    brightness = [int(frame[0, 0, 0]) for frame in dream.get_images()]
    assert brightness == [0, 127, 254]
    assert int(dream.env_method("render", indices=2)[0][0, 0, 0]) == 254
    (here,) = dream.env_method("snapshot", indices=[0])
    assert dream.step(np.zeros((3, 2)))[2].tolist() == [False, True, False]
    dream.env_method("restore", here, indices=[2])
    np.testing.assert_array_equal(dream.snapshot(2).arrays["x"], here.arrays["x"])


def test_images_need_a_render_mode():
    dream, _ = both(2)
    dream.reset()
    with pytest.warns(UserWarning, match='needs render_mode="rgb_array"'):
        assert dream.get_images() == [None, None]


def test_snapshot_and_restore_go_on_exactly():
    dream, _ = both(3)
    dream.seed(3)
    dream.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 3, 2)).astype(np.float32)
    for action in actions[:7]:
        dream.step(action)
    here = dream.snapshot()
    future = [dream.step(action) for action in actions]
    observation = dream.restore(here)
    np.testing.assert_array_equal(observation, here.arrays["x"])
    assert_same([dream.step(action) for action in actions], future)


def test_branch_is_the_vector_envs():
    """On lanes that do not end; after it, the same actions give the branches the same future."""
    dream, vector = (
        DreamVecEnv(toy_source(shortest=30), 4),
        DreamVectorEnv(toy_source(shortest=30), 4),
    )
    dream.seed(3)
    dream.reset()
    vector.reset(seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (25, 4, 2)).astype(np.float32)
    for step, action in enumerate(actions):
        if step == 5:
            np.testing.assert_array_equal(
                dream.branch([0, 0], [1, 3]), vector.branch([0, 0], [1, 3])[0]
            )
        if step == 15:
            seeded = dict(source=[0, 0], target=[0, 1], seeds=[7, 8])
            np.testing.assert_array_equal(dream.branch(**seeded), vector.branch(**seeded)[0])
        action[1] = action[0]
        observation = dream.step(action)[0]
        np.testing.assert_array_equal(observation, vector.step(action)[0])
        alike = np.array_equal(observation[0], observation[1])
        assert alike == (5 <= step < 15)
    with pytest.raises(ValueError, match="got 1 source lanes, 2 target lanes; expected as many"):
        dream.branch([0], [1, 2])


@pytest.mark.parametrize("kind", [{}, {"discrete": True}, {"pixels": True}], ids=str)
def test_sb3s_checker(kind):
    check_env(DreamEnv(toy_source(**kind), render_mode="rgb_array"))


@pytest.mark.parametrize(
    ("algo", "how"),
    [
        (PPO, {"n_steps": 8, "batch_size": 16, "n_epochs": 1}),
        (A2C, {"n_steps": 4}),
        (SAC, {"learning_starts": 8, "batch_size": 4, "buffer_size": 64}),
        (TD3, {"learning_starts": 8, "batch_size": 4, "buffer_size": 64}),
        (DQN, {"learning_starts": 8, "batch_size": 4, "buffer_size": 64}),
    ],
)
def test_algorithms_learn_on_it(algo, how):
    dream = VecMonitor(DreamVecEnv(toy_source(discrete=algo is DQN), 4))
    policy = {"net_arch": [4]}
    model = algo("MlpPolicy", dream, seed=0, device="cpu", policy_kwargs=policy, **how)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(64)
    after = model.policy.state_dict()
    assert any((after[name] != before[name]).any() for name in before)
    assert len(model.ep_info_buffer) > 4
    assert all(3 <= episode["l"] <= 8 for episode in model.ep_info_buffer)


def test_ppo_bootstraps_what_was_truncated_only():
    # With values of exactly 1 (see below) a reward grows by gamma where SB3 bootstraps.
    dream = DreamVecEnv(toy_source(), 6)
    model = PPO("MlpPolicy", dream, n_steps=16, batch_size=32, seed=0, device="cpu", gamma=0.5)
    model.policy.value_net.weight.data.zero_()
    model.policy.value_net.bias.data.fill_(1.0)
    rewards, truncated = [], []
    step_wait = dream.step_wait

    def record():
        answer = step_wait()
        rewards.append(answer[1].copy())
        truncated.append([info["TimeLimit.truncated"] for info in answer[3]])
        return answer

    dream.step_wait = record
    _, callback = model._setup_learn(96, None)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 16)
    grown = model.rollout_buffer.rewards - np.array(rewards)
    np.testing.assert_allclose(grown, np.array(truncated) * 0.5, atol=1e-6)
    assert np.any(truncated)


def test_sb3_wrappers_and_evaluation():
    dream = VecMonitor(VecFrameStack(VecNormalize(DreamVecEnv(toy_source(), 3)), 2))
    model = PPO("MlpPolicy", dream, n_steps=8, batch_size=8, n_epochs=1, seed=0, device="cpu")
    _, lengths = evaluate_policy(model, dream, n_eval_episodes=6, return_episode_rewards=True)
    assert len(lengths) == 6
    assert all(3 <= length <= 8 for length in lengths)


def test_single_envs_under_sb3s_own_batching():
    venv = DummyVecEnv([lambda: TimeLimit(DreamEnv(toy_source()), 2)] * 2)
    model = A2C("MlpPolicy", venv, n_steps=4, seed=0, device="cpu")
    model.learn(16)
    model = PPO("MlpPolicy", DreamEnv(toy_source()), n_steps=16, batch_size=8, device="cpu")
    model.learn(16)


def test_a_missing_sb3_names_the_command():
    code = (
        "import sys; sys.modules['stable_baselines3'] = None\n"
        "try: import dreamenv_client.sb3\n"
        "except ImportError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert 'pip install "dreamenv-client[sb3]"' in found.stdout
