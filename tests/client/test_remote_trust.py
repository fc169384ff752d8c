"""Trust and starts of dreams on a server: as in process, and refused where they cannot be."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import dreamenv


def act(lanes: int, time: int) -> np.ndarray:
    return np.random.default_rng(time).uniform(-1, 1, (lanes, 3)).astype(np.float32)


def make(far, model: str, lanes: int = 2, **knobs):
    return gym.make_vec("Dream-v0", num_envs=lanes, model=model, server=far.address, **knobs)


def test_trust_of_single_lanes(far, packages):
    """Set on some lanes, taken along by snapshots and branches, against the dream in process."""
    how = dict(num_envs=3, termination="none", autoreset_mode="Disabled", horizon=100)
    envs = [
        gym.make_vec("Dream-v0", model="unsure", server=far.address, **how),
        gym.make_vec("Dream-v0", model=str(packages["unsure"]), **how),
    ]
    answers = []
    for env in envs:
        inner = env.unwrapped
        shown = [inner.reset(seed=4)]
        inner.set_knobs(lanes=[1], trust_penalty=2.0)
        inner.set_knobs(lanes=[2], trust_penalty=0.5, trust_limit=1.5)
        shown.append(inner.step(act(3, 0)))
        kept = inner.snapshot()
        inner.set_knobs(trust_penalty=0.0, trust_limit=0.0)
        shown.append(inner.step(act(3, 1)))
        inner.restore(kept)
        shown.append(inner.step(act(3, 1)))
        answers.append(shown)
    free, charged = answers[0][2], answers[0][3]
    unsure = charged[4]["uncertainty"]
    expected = free[1] - np.array([0, 2, 0.5]) * unsure
    np.testing.assert_allclose(charged[1], expected, rtol=1e-5)
    assert (unsure > 0).all()
    for far_step, near_step in zip(answers[0][1:], answers[1][1:], strict=True):
        for one, other in zip(far_step[:4], near_step[:4], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for env in envs:
        env.close()


def test_a_limit_truncates_there_too(far):
    env = make(far, "unsure", lanes=30, trust_limit=0.5, termination="none", horizon=1000)
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(act(30, 0))
    assert 0 < truncated.sum() < 30
    assert not terminated.any()
    unsure = info["uncertainty"]
    assert unsure[truncated].min() > unsure[~truncated].max()
    env.close()


@pytest.mark.parametrize("knob", ["trust_penalty", "trust_limit"])
def test_a_model_that_cannot_tell_takes_no_trust(far, knob):
    message = f"{knob} is 0.5; expected 0: .* cannot tell how unsure it is"
    for _ in range(3):
        env = make(far, "lively", **{knob: 0.5})
        with pytest.raises(ValueError, match=message):
            env.reset(seed=0)
    env = make(far, "lively", **{knob: 0.0})
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.unwrapped.set_knobs(**{knob: 0.5})
    env.step(act(2, 0))
    env.close()
    with pytest.raises(ValueError, match=message):  # known here, before anything is asked
        gym.make("Dream-CarRacing-v0", server="localhost:1", **{knob: 0.5})


def test_refused_trust_leaves_no_lanes_behind(far):
    """More refusals than the server has lanes for."""
    for _ in range(40):
        with pytest.raises(ValueError, match="cannot tell"):
            make(far, "lively", lanes=64, trust_limit=0.9).reset(seed=0)
    env = make(far, "lively", lanes=64)
    env.reset(seed=0)
    env.close()


def test_bank_is_another_name_of_any_there_too(far):
    begun = []
    for name in ("any", "bank", "first"):
        env = make(far, "lively", lanes=30, starts=name)
        begun.append(env.reset(seed=1)[0].tobytes())
        env.close()
    assert begun[0] == begun[1] != begun[2]


def test_data_stays_at_home(far):
    for knobs in ({"starts": "data"}, {"starts": "data", "data": "some/folder"}):
        with pytest.raises(ValueError, match="in this process"):
            make(far, "lively", **knobs)
    with pytest.raises(ValueError, match="in this process"):
        dreamenv.sb3.DreamVecEnv("lively", server=far.address, data="some/folder")
