"""The real env seen through the model."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3.common.env_checker
import torch
from gymnasium.utils.env_checker import check_env

from dreamenv.errors import DataError, PackageError
from dreamenv.packages import Package, save_package
from dreamenv.preprocess import build_env
from dreamenv.real import RealFilter, make_real

STEPS = 4


@pytest.fixture(scope="module")
def package(make_package) -> Package:
    return make_package()


@pytest.fixture(scope="module")
def saved(tiny_package) -> str:
    return str(tiny_package)


@pytest.fixture(scope="module")
def drive(package) -> dict[str, Any]:
    """A few decisions of the real env, preprocessed but not filtered."""
    env = build_env(package.config.real)
    frame, _ = env.reset(seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 3)).astype(np.float32)
    frames, rewards = [frame], []
    for action in actions:
        frame, reward, *_ = env.step(action)
        frames.append(frame)
        rewards.append(reward)
    env.close()
    return dict(frames=np.stack(frames), actions=actions, rewards=rewards)


def rollout(env: gym.Env[Any, Any], actions: Any) -> tuple[list[Any], list[float]]:
    observation, info = env.reset(seed=3)
    assert info["real_steps"] == 0
    seen, rewards = [observation], []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        assert (terminated, truncated, info["real_steps"]) == (False, False, 4)
        seen.append(observation)
        rewards.append(reward)
    env.close()
    return seen, rewards


@pytest.mark.parametrize("obs", ["features", "latent", "pixels"])
def test_observations_are_the_posterior_along_the_real_frames(package, saved, drive, obs):
    """Oracle: the whole episode through nn.LSTM at once, and the VAE on all frames at once."""
    seen, rewards = rollout(make_real(saved, obs=obs), drive["actions"])
    assert rewards == drive["rewards"]
    model = package.world_model()
    with torch.inference_mode():
        mean, _ = model.vae.encode(torch.from_numpy(drive["frames"]))
        z = mean.clamp(-model.sizes.latent_bound, model.sizes.latent_bound)
        inputs = torch.cat([z[:-1], torch.from_numpy(drive["actions"])], dim=1)
        hidden = torch.cat([torch.zeros(1, model.sizes.hidden), model.lstm(inputs)[0]])
        expected = {
            "latent": z,
            "features": torch.cat([z, hidden], dim=1),
            "pixels": model.vae.picture(z),
        }[obs].numpy()
    space = package.config.observation_space(obs)
    for one in seen:
        assert space.contains(one)
    if obs == "pixels":
        assert np.abs(np.stack(seen).astype(int) - expected.astype(int)).max() <= 1
    else:
        np.testing.assert_allclose(np.stack(seen), expected, atol=1e-5)


def test_raw_frames_are_the_real_ones(saved, drive):
    seen, rewards = rollout(make_real(saved, obs="pixels", raw=True), drive["actions"])
    assert np.array_equal(np.stack(seen), drive["frames"])
    assert rewards == drive["rewards"]


def test_samples_are_posterior_samples_and_repeat_under_a_seed(package, saved, drive):
    env = make_real(saved, obs="latent", sample=True)
    first, _ = rollout(env, drive["actions"])
    again, _ = rollout(env, drive["actions"])
    assert np.array_equal(first, again)
    model = package.world_model()
    with torch.inference_mode():
        encoded = model.vae.encode(torch.from_numpy(drive["frames"]))
    mean, log_variance = (tensor.numpy() for tensor in encoded)
    assert np.allclose(first[0], mean[0], atol=1e-5)
    draws = []
    seen = RealFilter(package, "latent", sample=True)
    for seed in range(200):
        seen.begin(drive["frames"][0], np.random.default_rng(seed))
        draws.append(seen.posterior(drive["actions"][0], drive["frames"][1]))
    scale = np.exp(0.5 * log_variance[1])
    standard = (np.stack(draws) - mean[1]) / scale
    assert np.abs(standard.mean(axis=0)).max() < 5 / np.sqrt(200)
    assert np.abs(standard.std(axis=0) - 1).max() < 5 / np.sqrt(400)


def test_what_is_beyond_the_bound_is_cut(package, drive):
    """A model whose latents would leave the space shows the bound instead."""

    class Far:
        device = torch.device("cpu")
        noise = None

        def begin(self, start: Any) -> Any:
            return {}

        def observe(self, state: Any, kind: str) -> Any:
            return torch.tensor([[1e9, -1e9, 0.5, 0.0]])

    seen = RealFilter(package, "latent")
    seen._model = Far()
    bound = package.config.latent_bound
    assert seen.begin(drive["frames"][0]).tolist() == [bound, -bound, 0.5, 0.0]


@pytest.mark.parametrize("obs", ["features", "pixels"])
def test_the_env_passes_the_checkers(saved, obs):
    env = make_real(saved, obs=obs)
    check_env(env, skip_render_check=True)
    stable_baselines3.common.env_checker.check_env(env)
    env.close()


def test_it_renders_the_real_picture(saved):
    env = make_real(saved, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((400, 600, 3), np.uint8)
    assert np.array_equal(picture, env._env.unwrapped._render("rgb_array"))
    env.close()
    silent = make_real(saved)
    silent.reset(seed=0)
    assert silent.render() is None
    silent.close()


def test_before_the_first_reset_there_is_no_torch_and_pickling_works(saved):
    script = """
        import pickle, sys
        from dreamenv.real import make_real
        env = pickle.loads(pickle.dumps(make_real(sys.argv[1])))
        assert env.observation_space.shape == (12,) and env.action_space.shape == (3,)
        assert "torch" not in sys.modules, "torch was imported"
        env = make_real(sys.argv[1], obs="pixels", raw=True)
        env.reset(seed=0)
        assert "torch" not in sys.modules, "raw frames need no torch"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), saved], check=True)


def test_discrete_actions(tiny_discrete_package):
    env = make_real(tiny_discrete_package)
    env.reset(seed=0)
    observation, *_ = env.step(np.int64(3))
    assert env.observation_space.contains(observation)
    for wrong, message in (
        (7, "action is 7; expected an integer from 0 to 4"),
        (1.5, "dtype float64; expected integers"),
        (np.zeros(2, int), r"shape \(2,\); expected \(\)"),
    ):
        with pytest.raises(ValueError, match=message):
            env.step(wrong)
    env.close()


def test_misuse_is_refused(saved, make_package, tmp_path):
    with pytest.raises(PackageError):
        make_real(tmp_path / "nothing")
    with pytest.raises(ValueError, match='raw: expected obs="pixels"'):
        make_real(saved, raw=True)
    with pytest.raises(ValueError, match="obs: expected"):
        make_real(saved, obs="smell")
    with pytest.raises(ValueError, match="render_mode: expected"):
        make_real(saved, render_mode="human")
    for misuse in (lambda: make_real(saved).step(np.zeros(3)), lambda: make_real(saved).render()):
        with pytest.raises(gym.error.ResetNeeded, match=r"expected reset\(\) before"):
            misuse()
    wrong = make_package(discrete=True)
    continuous = wrong.config.real.model_copy(update={"kwargs": {}})
    wrong = replace(wrong, config=wrong.config.model_copy(update={"real": continuous}))
    with pytest.raises(DataError, match="the package's model expects observations and actions"):
        make_real(save_package(wrong, tmp_path / "wrong", "card")).reset()
    seen, frame = RealFilter(make_package(), "latent", sample=True), np.zeros((48, 48, 3), np.uint8)
    seen.begin(frame)
    with pytest.raises(ValueError, match="expected rng where sample=True"):
        seen.posterior(np.zeros(3), frame)
