"""A linear controller by CMA-ES: against plain loops, a known optimum, and SB3's own predict."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from dreamenv import cma_es
from dreamenv.cma_es import CMAConfig, act, as_policy, evolve, outputs
from dreamenv.learn import learn
from dreamenv.packages import load_config
from dreamenv.progress import silent

BOX = gym.spaces.Box(-1, 1, (2,), np.float32)


class Imitate:
    """Pays an action for being near ``target @ observation``; episodes last 3 or 4 decisions."""

    single_action_space = BOX
    single_observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    target = np.array([[0.5, -0.3, 0.0], [0.0, 0.4, 0.2]], np.float32)

    def __init__(self, num_envs):
        self.num_envs, self.closed, self.seeds = num_envs, False, []

    def reset(self, seed):
        self.seeds.append(seed)
        self.rngs = [np.random.default_rng(s) for s in seed]
        self.left = np.array([3 + s % 2 for s in seed])
        return self._look(), {}

    def _look(self):
        self.shown = np.stack([rng.uniform(-1, 1, 3) for rng in self.rngs]).astype(np.float32)
        return self.shown

    def step(self, actions):
        error = np.abs(actions - self.shown @ self.target.T).sum(axis=1)
        self.left -= 1
        over = self.left <= 0
        return self._look(), 1.0 - error, over, np.zeros_like(over), {}

    def close(self):
        self.closed = True


def test_a_known_optimum_is_found_and_luck_is_shared(monkeypatch):
    made = []
    monkeypatch.setattr(
        cma_es, "make_vector_env", lambda num_envs, **_: made.append(Imitate(num_envs)) or made[0]
    )
    config = CMAConfig(population=12, episodes=4)
    found = evolve("toy", config, timesteps=30_000, seed=1, knobs={}, progress=silent)
    weights = found.parameters[:6].reshape(2, 3)
    np.testing.assert_allclose(weights, Imitate.target, atol=0.1)
    np.testing.assert_allclose(found.parameters[6:], 0.0, atol=0.1)
    assert found.curve[-1][1] > 3.0 > found.curve[0][1]
    env = made[0]
    assert env.closed
    # Everyone plays the same four episodes, and the next generation four others.
    first, second = (np.reshape(s, (12, 4)) for s in env.seeds[:2])
    assert (first == first[0]).all()
    assert not set(first.ravel()) & set(second.ravel())
    # 12 individuals, episodes of 3, 4, 3 and 4 decisions; what comes after an end is not counted.
    assert found.curve[0][0] == 12 * 14
    assert 30_000 <= found.timesteps == found.curve[-1][0] < 30_000 + 12 * 14


@pytest.mark.parametrize("space", [BOX, gym.spaces.Discrete(3)])
def test_actions_are_those_of_a_plain_loop(space):
    rng = np.random.default_rng(0)
    count, inputs = outputs(space), 5
    parameters = rng.standard_normal((4, count * (inputs + 1)))
    observations = rng.standard_normal((4, 6, inputs)).astype(np.float32)
    found = act(parameters, observations, space)
    for i in range(4):
        weights, bias = np.split(parameters[i], [count * inputs])
        for k in range(6):
            out = weights.reshape(count, inputs) @ observations[i, k] + bias
            if isinstance(space, gym.spaces.Discrete):
                assert found[i, k] == np.append(0.0, out).argmax()
            else:
                np.testing.assert_allclose(found[i, k], out.clip(-1, 1), atol=1e-5)
                assert found[i, k] in space


@pytest.mark.parametrize("discrete", [False, True])
def test_the_saved_policy_acts_as_the_controller(make_package, tmp_path, discrete):
    from dreamenv.packages import save_package

    package = make_package(discrete=discrete)
    dream = save_package(package, tmp_path / "dream", "# tiny\n")
    config = load_config(dream)
    space = config.action.space()
    rng = np.random.default_rng(0)
    parameters = rng.standard_normal(outputs(space) * (config.features + 1)) * 0.1
    seen = rng.standard_normal((40, config.features)).astype(np.float32)
    expected = act(parameters[None], seen[None], space)[0]
    policy = as_policy(parameters, dream, {})
    for deterministic in (True, False):
        chosen, _ = policy.predict(seen, deterministic=deterministic)
        np.testing.assert_allclose(chosen, expected, atol=1e-5)


def test_learnt_by_the_one_line(tiny_package, tmp_path):
    from stable_baselines3 import PPO

    small = {"population": 4, "episodes": 2}
    arguments = dict(algo="cma", timesteps=60, knobs={"horizon": 5}, hyperparameters=small)
    learned = learn(tiny_package, out=tmp_path / "policy", **arguments)
    assert learned.timesteps >= 60
    assert [steps for steps, _ in learned.curve] == sorted({s for s, _ in learned.curve})
    policy = PPO.load(learned.path, device="cpu")
    assert policy.observation_space == load_config(tiny_package).observation_space("features")
    again = learn(tiny_package, out=tmp_path / "again", **arguments)
    assert again.curve == learned.curve


def test_settings_that_are_none_are_named(tiny_package, tmp_path):
    arguments = dict(out=tmp_path / "p", algo="cma", timesteps=10)
    with pytest.raises(ValueError, match=r"cma: unknown \['gamma'\]; expected some of"):
        learn(tiny_package, hyperparameters={"gamma": 0.9}, **arguments)
    with pytest.raises(ValueError, match="population ≥ 4"):
        learn(tiny_package, hyperparameters={"population": 1}, **arguments)
    assert list(tmp_path.iterdir()) == []
