"""Every registered id in every autoreset mode: on a server bitwise what it is in process, alone
and while other sessions come and go."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from churn import Churn
from gymnasium.vector import AutoresetMode

from dreamenv.registration import ANY_PACKAGE
from dreamenv.sources import shipped

LANES = 3
STEPS = 25


@pytest.fixture(autouse=True)
def one_thread():
    """As the server has: the number of threads may change the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[*shipped(), "lively", "discrete", "unsure"])
def dream(request, packages) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """An id, and what ``model`` is in process and on the server."""
    if request.param == "unsure":
        trust = {"trust_penalty": 0.5, "trust_limit": 0.8}
        here, there = {"model": str(packages["unsure"])}, {"model": "unsure"}
        return ANY_PACKAGE, here | trust, there | trust
    if request.param in packages:
        return ANY_PACKAGE, {"model": str(packages[request.param])}, {"model": request.param}
    return request.param, {}, {}


def assert_same(far: Any, near: Any) -> None:
    """Bit for bit, whatever it is made of."""
    if isinstance(near, dict):
        assert list(far) == list(near)
        for name in near:
            assert_same(far[name], near[name])
    elif isinstance(near, tuple):
        assert len(far) == len(near)
        for one, other in zip(far, near, strict=True):
            assert_same(one, other)
    elif isinstance(near, np.ndarray) and near.dtype == object:
        assert_same(tuple(far), tuple(near))
    elif near is None:
        assert far is None
    else:
        assert far.dtype == near.dtype
        assert far.shape == near.shape
        assert far.tobytes() == near.tobytes()


def run(envs: gym.vector.VectorEnv, mode: AutoresetMode, steps: int) -> list[Any]:
    """Everything they answer; where they do not reset themselves, they are reset."""
    envs.action_space.seed(5)
    answers: list[Any] = [envs.reset(seed=11)]
    for _ in range(steps):
        answers.append(envs.step(envs.action_space.sample()))
        over = answers[-1][2] | answers[-1][3]
        if mode is AutoresetMode.DISABLED and over.any():
            answers.append(envs.reset(options={"reset_mask": over}))
    envs.close()
    return answers


def compare(far, dream, mode: AutoresetMode, obs: str, steps: int = STEPS) -> None:
    name, here, there = dream
    how = dict(num_envs=LANES, obs=obs, autoreset_mode=mode.value, horizon=7)
    near = run(gym.make_vec(name, **how, **here), mode, steps)
    remote = run(gym.make_vec(name, **how, **there, server=far.address), mode, steps)
    assert len(remote) == len(near)
    assert any((answer[2] | answer[3]).any() for answer in near if len(answer) == 5)
    if mode is AutoresetMode.SAME_STEP:
        assert any("final_obs" in answer[-1] for answer in near)
    for one, other in zip(remote, near, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_alone(far, dream, mode):
    compare(far, dream, mode, "features")


@pytest.mark.parametrize("obs", ["latent", "pixels"])
def test_other_observations(far, dream, obs):
    compare(far, dream, AutoresetMode.SAME_STEP, obs, steps=9)


def test_while_fifty_other_sessions_come_and_go(far, dream, packages):
    actions = {
        "lively": np.zeros(3, np.float32),
        "discrete": np.array(1, np.int64),
        "Dream-CarRacing-v0": np.zeros(3, np.float32),
    }
    with Churn(far.address, actions) as churn:
        before = churn.calls
        for mode in AutoresetMode:
            compare(far, dream, mode, "features")
        assert churn.calls > before + 50
    assert not churn.failures, churn.failures
