"""Making dreams by name: lazily, with the door checked before anything is opened."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest

import dreamenv
from dreamenv.errors import PackageError
from dreamenv.make import dream_source, make_env, make_vector_env
from dreamenv.sources import shipped

NO_TORCH = """
import sys
import gymnasium as gym
import dreamenv
dir(dreamenv), dreamenv.__version__
env = gym.make("Dream-v0", model=sys.argv[1], temperature=[0.5, 1.0])
envs = gym.make_vec("Dream-v0", num_envs=4, model=sys.argv[1])
real = dreamenv.make_real(sys.argv[1])
for made in (env, envs, real):
    made.observation_space.sample(), made.action_space.sample()
env.spec.to_json()
env.unwrapped.set_knobs(temperature=0.3)
assert "torch" not in sys.modules, "torch came with make"
env.reset(seed=0)
assert "torch" in sys.modules
"""


def run(code: str, *arguments: object, cwd: Path | None = None) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_torch_comes_with_the_first_reset(tiny_package):
    run(NO_TORCH, tiny_package)


def test_what_dreamenv_exports():
    assert set(dreamenv.__all__) <= set(dir(dreamenv))
    for name in dreamenv.__all__:
        assert getattr(dreamenv, name) is not None
    import dreamenv_client

    from dreamenv.dream.dream import Dream

    assert dreamenv.Dream is Dream
    assert dreamenv.DreamEnv is dreamenv_client.DreamEnv
    assert dreamenv.sb3.DreamVecEnv.__mro__[1].__module__ == "dreamenv_client.sb3"
    with pytest.raises(AttributeError, match="no attribute 'load'"):
        _ = dreamenv.load


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_unknown_models_are_refused_with_what_there_is(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = ", ".join(shipped()) or "none"
    with pytest.raises(PackageError, match=rf"Dream-v0: model: expected .*\({listed}.*Name one"):
        make("Dream-v0")
    with pytest.raises(PackageError, match=rf"nowhere: model: expected .*\({listed}.*Check"):
        make("Dream-v0", model="nowhere")
    with pytest.raises(gym.error.NameNotFound, match=r"Dream-Nowhere.* doesn't exist"):
        make("Dream-Nowhere-v0")


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"obs": "frames"}, r'obs: expected "features", "latent" or "pixels", got \'frames\''),
        ({"temperature": -1.0}, r"temperature is -1.0; expected a number from 0 to 100"),
        ({"temperature": [1.0, 0.5]}, r"temperature is .*; expected .*\[low, high\]"),
        ({"temperature": float("nan")}, r"temperature is nan; expected"),
        ({"temperature": "hot"}, r"temperature is 'hot'; expected"),
        ({"termination": "never"}, r"termination is 'never'; expected"),
        ({"termination_temperature": 0}, r"termination_temperature is 0; expected"),
        ({"horizon": 0}, r"horizon is 0; expected"),
        ({"horizon": 2.5}, r"horizon is 2.5; expected"),
        ({"starts": "last"}, r"starts is 'last'; expected"),
        ({"compile": "yes"}, r"compile is 'yes'; expected True or False"),
        ({"render_mode": "human"}, r"render_mode"),
    ],
)
def test_bad_knobs_are_refused_before_the_first_reset(tiny_package, knobs, said):
    for make in (make_env, make_vector_env, dreamenv.sb3.DreamVecEnv):
        with pytest.raises(ValueError, match=said):
            make(str(tiny_package), **knobs)


def test_a_misspelt_knob_is_refused_with_the_known_ones(tiny_package):
    with pytest.raises(TypeError, match=r"unknown keywords \['temprature'\]; a dream takes obs, t"):
        gym.make("Dream-v0", model=str(tiny_package), temprature=1.0)


def test_bad_vector_arguments(tiny_package):
    with pytest.raises(ValueError, match="num_envs is 0; expected at least 1"):
        gym.make_vec("Dream-v0", num_envs=0, model=str(tiny_package))
    with pytest.raises(ValueError, match="Sometimes"):
        gym.make_vec("Dream-v0", num_envs=2, autoreset_mode="Sometimes", model=str(tiny_package))
    with pytest.raises(ValueError, match="horizon is 0; expected"):
        gym.make_vec("Dream-v0", num_envs=2, max_episode_steps=0, model=str(tiny_package))


def test_none_is_as_if_left_out(tiny_package):
    left_out = ["obs", "temperature", "termination", "termination_temperature", "horizon"]
    left_out += ["starts", "device", "compile"]
    for make in (make_env, make_vector_env):
        nones = make(str(tiny_package), **dict.fromkeys(left_out))
        plain = make(str(tiny_package))
        assert nones.observation_space == plain.observation_space
        np.testing.assert_array_equal(nones.reset(seed=1)[0], plain.reset(seed=1)[0])
        action = plain.action_space.sample()
        np.testing.assert_array_equal(nones.step(action)[0], plain.step(action)[0])
        nones.close()
        plain.close()


@pytest.mark.parametrize("knobs", [{}, {"horizon": 3}])
def test_max_episode_steps_of_minus_one_is_no_limit(tiny_package, knobs):
    """As for gym.make."""
    made = dict(model=str(tiny_package), termination="none", max_episode_steps=-1, **knobs)
    envs, env = gym.make_vec("Dream-v0", num_envs=2, **made), gym.make("Dream-v0", **made)
    envs.reset(seed=0)
    env.reset(seed=0)
    for _ in range(20):
        truncated = envs.step(envs.action_space.sample())[3]
        assert truncated.tolist() == [env.step(env.action_space.sample())[3]] * 2
        if truncated.any():
            break
    assert truncated.all()
    envs.close()
    env.close()


@pytest.mark.parametrize(("knobs", "length"), [({}, 4), ({"horizon": 3}, 3), ({"horizon": 9}, 4)])
def test_max_episode_steps_of_make_vec_truncates_too(tiny_package, knobs, length):
    envs = gym.make_vec(
        "Dream-v0",
        num_envs=2,
        max_episode_steps=4,
        model=str(tiny_package),
        termination="none",
        **knobs,
    )
    envs.reset(seed=0)
    truncated = [envs.step(envs.action_space.sample())[3].tolist() for _ in range(length)]
    assert truncated == [[False, False]] * (length - 1) + [[True, True]]
    envs.close()


def test_the_packages_own_defaults_hold_unless_told_otherwise(tiny_package):
    env = make_env(tiny_package, termination="none")
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[3] for _ in range(20)]
    assert ends == [False] * 19 + [True]  # config.defaults.horizon of the tiny package
    env.close()


def test_paths_hold_when_the_working_directory_changes(tiny_package, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_package.parent)
    env = gym.make("Dream-v0", model=tiny_package.name)
    monkeypatch.chdir(tmp_path)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    env.close()


def test_an_env_pickles_and_dreams_the_same(tiny_package):
    env = make_env(tiny_package)
    twins = [pickle.loads(dump(env)) for dump in (pickle.dumps, cloudpickle.dumps)]  # noqa: S301
    expected, _ = env.reset(seed=4)
    for twin in twins:
        np.testing.assert_array_equal(twin.reset(seed=4)[0], expected)


def test_sources_name_the_lanes_they_open(tiny_package):
    source = dream_source(tiny_package, obs="latent")
    lanes = source.open(3)
    assert lanes.num_lanes == 3
    assert lanes.observation_space == source.observation_space
    assert lanes.action_space == source.action_space
    assert source.render_fps == 50 / 4
    lanes.close()


def test_the_sb3_face_says_how_to_get_sb3(tiny_package):
    code = """
import sys
sys.modules["stable_baselines3"] = None
import gymnasium as gym
import dreamenv
gym.make("Dream-v0", model=sys.argv[1])
try:
    dreamenv.sb3
except ImportError as error:
    print(error)
"""
    assert 'pip install "dreamenv[sb3]"' in run(code, tiny_package)


def test_gym_collects_frames_as_of_any_env(tiny_package):
    """It wraps an env for it, if the id's maker says what the env can render."""
    env = gym.make("Dream-v0", model=str(tiny_package), render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert len(env.render()) == 2
    env.close()
