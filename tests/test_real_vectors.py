"""Real envs that show vectors, seen through a model; and dreams begun with their observations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from dreamenv.data.collect import CollectConfig, collect
from dreamenv.dream import Dream
from dreamenv.errors import DataError
from dreamenv.packages import load_config, load_package, save_package
from dreamenv.real import make_real, observation_kind
from dreamenv.real_specs import load_real_spec

MEAN, SCALE = np.float32([0.5, 0.0, 1.0]), np.float32([0.5, 0.5, 4.0])
"""Of the package's normalisation."""
STEPS = 5


@pytest.fixture(scope="module")
def swing() -> tuple[np.ndarray, np.ndarray]:
    """Observations and actions in [-1, 1] of the plain env."""
    env = gym.make("Pendulum-v1")
    seen, actions = [env.reset(seed=4)[0]], np.float32([[0.5], [-1.0], [0.25], [1.0], [0.0]])
    for action in actions:
        seen.append(env.step(2.0 * action)[0])
    return np.stack(seen), actions


@pytest.mark.parametrize(
    ("obs", "raw"), [("features", False), ("latent", False), ("pixels", False), ("pixels", True)]
)
def test_the_real_env_through_the_model(pendulum_package, swing, obs, raw):
    observations, actions = swing
    env = make_real(pendulum_package, obs=obs, raw=raw)
    seen = [env.reset(seed=4)[0], *(env.step(action)[0] for action in actions)]
    assert all(env.observation_space.contains(one) for one in seen)
    if raw:
        assert np.array_equal(np.stack(seen), observations)
    else:
        expected = observations if obs == "pixels" else (observations - MEAN) / SCALE
        np.testing.assert_allclose(np.stack(seen), expected, atol=1e-5)


@pytest.mark.parametrize("obs", ["features", "pixels"])
def test_the_env_passes_the_checkers(pendulum_package, obs):
    env = make_real(pendulum_package, obs=obs)
    check_env(env, skip_render_check=True)
    sb3_check_env(env)
    env.close()


@pytest.mark.parametrize(
    "real", [load_real_spec("InvertedPendulum-v5"), load_real_spec("CarRacing-v3")]
)
def test_an_env_that_shows_something_else_is_refused(pendulum_package, tmp_path, real):
    package = load_package(pendulum_package)
    other = replace(package, config=package.config.model_copy(update={"real": real}))
    save_package(other, tmp_path / "other", "card")
    with pytest.raises(DataError, match="model expects observations and actions"):
        make_real(tmp_path / "other").reset()


def test_the_space_tells_what_a_policy_sees(pendulum_package):
    config = load_config(pendulum_package)
    for kind, bound in (("features", config.latent_bound), ("pixels", 1e6)):
        space = gym.spaces.Box(-bound, bound, (3,), np.float32)
        assert config.observation_space(kind) == space
        assert observation_kind(config, space, "policy") == kind


@pytest.mark.parametrize("shared", [True, False])
def test_a_dream_starts_from_real_vectors(pendulum_package, swing, shared):
    """Its state is the last of them, normalised, in the lanes that begin."""
    observations, actions = swing
    dream = Dream(load_package(pendulum_package), 2)
    before = dream.reset(seeds=[1, 2]).observation
    options: dict[str, Any] = {"observations": observations, "actions": actions}
    if not shared:
        options = {name: np.stack([array, array]) for name, array in options.items()}
    begun = dream.reset(np.array([False, True]), options=options).observation
    assert np.array_equal(begun[0], before[0])
    np.testing.assert_allclose(begun[1], (observations[-1] - MEAN) / SCALE, atol=1e-5)


def spoilt(vectors: np.ndarray, value: float) -> np.ndarray:
    copy = vectors.copy()
    copy[1, 2] = value
    return copy


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: spoilt(v, np.nan), r"observations\[1, 2\] is nan; expected numbers within"),
        (lambda v: spoilt(v, np.inf), r"observations\[1, 2\] is inf"),
        (lambda v: spoilt(v, -np.inf), r"observations\[1, 2\] is -inf"),
        (lambda v: spoilt(v, 1.5e6), r"observations\[1, 2\] is 1500000.0; expected .*±1e\+06"),
        (lambda v: v.astype(np.float64), "dtype float64; expected float32"),
        (lambda v: v.astype(np.uint8), "dtype uint8; expected float32"),
        (lambda v: v[:, :2], r"shape \(6, 2\) .*expected float32 of shape \(T, \*\(3,\)\)"),
    ],
)
def test_what_no_env_shows_is_refused_and_nothing_moves(pendulum_package, swing, spoil, message):
    observations, actions = swing
    dream, twin = (Dream(load_package(pendulum_package), 2) for _ in range(2))
    for lanes in (dream, twin):
        lanes.reset(seeds=[1, 2])
    with pytest.raises(ValueError, match=message):
        dream.reset(options={"observations": spoil(observations), "actions": actions})
    still = np.zeros((2, 1), np.float32)
    assert np.array_equal(dream.step(still).observation, twin.step(still).observation)


def test_a_policy_of_the_dream_collects(pendulum_package, tmp_path):
    """It sees the real env through the model: replayed by hand, it acts the same."""
    env = make_real(pendulum_package)
    policy = stable_baselines3.PPO(
        "MlpPolicy", env, n_steps=2, batch_size=2, policy_kwargs={"net_arch": [4]}, device="cpu"
    )
    policy.save(tmp_path / "ppo.zip")
    config = CollectConfig(
        load_real_spec("Pendulum-v1"),
        tmp_path / "data",
        episodes=2,
        policy=str(tmp_path / "ppo.zip"),
        dream=str(pendulum_package),
        deterministic=True,
        max_decisions=STEPS,
    )
    for episode in collect(config).episodes:
        seen, _ = env.reset(seed=episode.seed)
        for action in episode.actions:
            np.testing.assert_allclose(
                policy.predict(seen, deterministic=True)[0], action, atol=1e-5
            )
            seen, *_ = env.step(action)
