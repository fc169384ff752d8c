"""Envs that show vectors: bitwise what the unmodified env shows, as float32."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from dreamenv.config import VECTOR_BOUND, ActionRepeat, HoldLastFrame, Pick, RealSpec
from dreamenv.errors import DataError
from dreamenv.frame_steps import FrameSteps
from dreamenv.mujoco_log import no_mujoco_log
from dreamenv.preprocess import build_env
from dreamenv.real_specs import load_real_spec

DECLARED = ["Pendulum-v1", "CartPole-v1", "InvertedPendulum-v5", "Hopper-v5", "HalfCheetah-v5"]
PENDULUM = load_real_spec("Pendulum-v1")


class Shown(gym.Env[Any, Any]):
    """Shows a given list of observations, one after another; the last one ends the episode."""

    def __init__(self, shown: Any, space: gym.Space[Any], render_mode: str | None = None) -> None:
        self.observation_space, self.action_space = space, gym.spaces.Discrete(2)
        self._shown = shown
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._t = 0
        return self._shown[0], {}

    def step(self, action: Any) -> Any:
        self._t += 1
        return self._shown[self._t], 1.0, self._t == len(self._shown) - 1, False, {}


@pytest.fixture
def shown(monkeypatch):
    """Registers an env that shows what it is given, for one test; gives its id."""

    def register(observations: Any, space: gym.Space[Any]) -> str:
        spec = EnvSpec("TestShown-v0", lambda **kwargs: Shown(observations, space, **kwargs))
        monkeypatch.setitem(gym.registry, "TestShown-v0", spec)
        return "TestShown-v0"

    return register


@pytest.mark.parametrize("env_id", DECLARED)
def test_a_declared_env_is_bitwise_itself(env_id):
    """Observations (the env's own in float32), rewards and ends, to the end of an episode; actions
    mapped by hand from [-1, 1] to the env's own bounds."""
    ours = build_env(load_real_spec(env_id))
    with no_mujoco_log():
        plain = gym.make(env_id, disable_env_checker=True)
    size = plain.observation_space.shape[0]
    assert ours.observation_space == gym.spaces.Box(-1e6, 1e6, (size,), np.float32)
    assert load_real_spec(env_id).frames_per_second == plain.metadata["render_fps"]
    seen, _ = ours.reset(seed=5)
    expected, _ = plain.reset(seed=5)
    rng, over, steps = np.random.default_rng(0), False, 0
    while not over and steps < 250:
        assert seen.dtype == np.float32
        assert np.array_equal(seen, expected.astype(np.float32))
        if isinstance(ours.action_space, gym.spaces.Discrete):
            action = real = int(rng.integers(2))
        else:
            # Eighths: exact however they are mapped. All bounds are symmetric.
            action = np.float32(rng.integers(-8, 9, ours.action_space.shape) / 8)
            real = action * plain.action_space.high
        seen, *rest, info = ours.step(action)
        expected, *expected_rest, _ = plain.step(real)
        assert rest == expected_rest
        assert info["real_steps"] == 1
        over, steps = rest[1] or rest[2], steps + 1
    assert over or env_id == "HalfCheetah-v5"
    ours.close()
    plain.close()


def test_actions_repeat_on_vectors():
    """Two steps of the plain env for one; rewards add up."""
    ours = build_env(PENDULUM.repeating(2))
    plain = gym.make("Pendulum-v1")
    ours.reset(seed=1)
    plain.reset(seed=1)
    seen, reward, *_, info = ours.step(np.float32([0.5]))
    _, first, *_ = plain.step(np.float32([1.0]))
    expected, second, *_ = plain.step(np.float32([1.0]))
    assert np.array_equal(seen, expected)
    assert (reward, info["real_steps"]) == (first + second, 2)


def test_vectors_are_fresh_and_cut():
    """An env that reuses its array, and one with infinities, show neither."""
    far = [np.array([np.inf, -np.inf]), np.array([1e7, -3.5]), np.array([1e300, 1.0])]
    cut = [[VECTOR_BOUND, -VECTOR_BOUND], [VECTOR_BOUND, -3.5], [VECTOR_BOUND, 1.0]]
    space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    reused = np.zeros(2)
    steps = FrameSteps(RealSpec(env_id="A-v0"), space)
    for given, expected in zip(far, cut, strict=True):
        reused[:] = given
        shown = steps(reused)
        reused[:] = 0.0
        assert shown.dtype == np.float32
        assert shown.tolist() == expected
    own = np.ones(2, np.float32)
    float32 = FrameSteps(RealSpec(env_id="A-v0"), gym.spaces.Box(-1, 1, (2,), np.float32))
    assert not np.shares_memory(float32(own), own)


@pytest.mark.parametrize("at", [0, 1])
def test_nan_is_refused(shown, at):
    observations = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    observations[at][2] = np.nan
    env = build_env(RealSpec(env_id=shown(observations, gym.spaces.Box(-9, 9, (3,)))))
    if at == 1:
        env.reset(seed=0)
    refused = env.step if at == 1 else lambda seed: env.reset(seed=seed)
    with pytest.raises(DataError, match=r"TestShown-v0: expected a vector of numbers, .*\[2\]"):
        refused(0)


def test_a_vector_is_picked_and_the_last_is_held(shown):
    """The end shows the vector before it, in an array of its own."""
    values = [np.array([float(i), -float(i)]) for i in range(3)]
    space = gym.spaces.Dict(
        state=gym.spaces.Box(-9, 9, (2,), np.float64), other=gym.spaces.Discrete(2)
    )
    env_id = shown([{"state": v, "other": 0} for v in values], space)
    steps: list[Any] = [Pick(key="state"), HoldLastFrame()]
    env = build_env(RealSpec(env_id=env_id, preprocessing=steps))
    seen = [env.reset(seed=0)[0], env.step(0)[0]]
    last, _, terminated, *_ = env.step(0)
    assert [s.tolist() for s in seen] == [[0.0, 0.0], [1.0, -1.0]]
    assert terminated
    assert last.tolist() == [1.0, -1.0]
    assert not np.shares_memory(last, seen[1])


def test_held_steps_end_early(shown):
    """An episode that ends within a repeat shows its last vector."""
    values = [np.float32([i]) for i in range(4)]
    env_id = shown(values, gym.spaces.Box(-9, 9, (1,)))
    env = build_env(RealSpec(env_id=env_id, preprocessing=[ActionRepeat(times=2)]))
    env.reset(seed=0)
    env.step(0)
    seen, reward, terminated, _, info = env.step(0)
    assert (seen.tolist(), reward, terminated, info["real_steps"]) == ([3.0], 1.0, True, 1)


@pytest.mark.parametrize(
    "env_id",
    [
        *("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "HumanoidStandup-v5"),
        *("InvertedDoublePendulum-v5", "InvertedPendulum-v5", "Pusher-v5", "Reacher-v5"),
        *("Swimmer-v5", "Walker2d-v5"),
    ],
)
def test_missing_mujoco_names_the_extra(monkeypatch, env_id):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ImportError, match=r'pip install "dreamenv\[mujoco\]"'):
        build_env(RealSpec(env_id=env_id))


def test_mujoco_leaves_no_log_behind(tmp_path):
    """Where plain gym.make of such an env does: if it no longer did, the guard could go."""
    script = textwrap.dedent(
        """
        import os
        import gymnasium as gym, mujoco
        from dreamenv.config import RealSpec
        from dreamenv.preprocess import build_env
        build_env(RealSpec(env_id="Hopper-v5"))
        print(os.listdir(), mujoco.get_mju_user_warning())
        gym.make("HalfCheetah-v5")
        print(os.listdir())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[] None", "['MUJOCO_LOG.TXT']"]
