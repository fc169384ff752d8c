"""What is wrong is refused as a local dream refuses it, in the same words; nothing has moved."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client import (
    NotServed,
    RemoteDreamEnv,
    RemoteDreamVectorEnv,
    RemoteError,
    ServerFull,
)
from dreamenv_client.errors import refusal, retry_after
from dreamenv_client.remote_source import remote_source
from gymnasium.utils.env_checker import data_equivalence

import dreamenv
from dreamenv.make import make_env, make_vector_env
from dreamenv.registration import ANY_PACKAGE

LANES = 2
FRAME = np.zeros((1, 16, 16, 3), np.uint8)
ZEROS = np.zeros((LANES, 3), np.float32)

WRONG = {
    "shape": lambda lanes: lanes.step(np.zeros((LANES, 2))),
    "dtype": lambda lanes: lanes.step(np.zeros((LANES, 3), bool)),
    "NaN": lambda lanes: lanes.step(np.full((LANES, 3), np.nan)),
    "bounds": lambda lanes: lanes.step([[0, 0, 0], [0, 0, 7]]),
    "ragged": lambda lanes: lanes.step([[0, 0, 0], [0, 0]]),
    "reset mask": lambda lanes: lanes.step(ZEROS, np.ones(LANES)),
    "mask": lambda lanes: lanes.reset(np.ones(LANES + 1, bool)),
    "few seeds": lambda lanes: lanes.reset(seeds=[1]),
    "negative seed": lambda lanes: lanes.reset(seeds=[1, -1]),
    "great seed": lambda lanes: lanes.step(ZEROS, np.ones(LANES, bool), [1, 2**63]),
    "half a seed": lambda lanes: lanes.reset(seeds=[1, 0.5]),
    "option": lambda lanes: lanes.reset(options={"begin": 3}),
    "start": lambda lanes: lanes.reset(options={"start": 10**6}),
    "half a start": lambda lanes: lanes.reset(options={"start": 0.5}),
    "two options": lambda lanes: lanes.reset(options={"start": 1, "observations": FRAME}),
    "frames": lambda lanes: lanes.reset(options={"observations": FRAME[:, 1:]}),
    "float frames": lambda lanes: lanes.reset(options={"observations": FRAME / 2}),
    "frames without actions": lambda lanes: lanes.reset(
        options={"observations": np.concatenate([FRAME] * 2)}
    ),
    "actions without frames": lambda lanes: lanes.reset(options={"actions": ZEROS}),
    "knob": lambda lanes: lanes.set_knobs(weather=3),
    "temperature": lambda lanes: lanes.set_knobs(temperature=-1),
    "horizon": lambda lanes: lanes.set_knobs(horizon=2.5),
    "knobs' lane": lambda lanes: lanes.set_knobs([LANES], horizon=3),
    "snapshot's lane": lambda lanes: lanes.snapshot([-1]),
    "restored lanes": lambda lanes: lanes.restore(lanes.snapshot([0])),
    "branch's lane": lambda lanes: lanes.branch([9], [0]),
    "branch's lanes": lambda lanes: lanes.branch([0], [0, 1]),
    "branch's seed": lambda lanes: lanes.branch([0], [1], [-3]),
    "rendered lane": lambda lanes: lanes.render([7]),
}


@pytest.fixture
def both(far, packages):
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address)
    near = make_vector_env(str(packages["lively"]), LANES)
    yield remote, near
    remote.close()
    near.close()


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_refused_alike(both, what):
    told = []
    for envs in both:
        envs.reset(seed=1)
        with pytest.raises(ValueError) as refused:
            WRONG[what](envs._lanes.current())
        told.append((type(refused.value), str(refused.value)))
    assert told[0] == told[1]
    ours, theirs = (envs.step(ZEROS) for envs in both)
    assert data_equivalence(ours, theirs, exact=True)


def test_lanes_that_cannot_be_stepped(both):
    told = []
    for envs in both:
        lanes = envs._lanes.open()
        for call in (
            lambda lanes=lanes: lanes.step(ZEROS),
            lambda lanes=lanes: lanes.branch([0], [1]),
        ):
            with pytest.raises(RuntimeError) as refused:
                call()
            told.append((type(refused.value), str(refused.value)))
        lanes.set_knobs([1], horizon=1)
        lanes.reset(seeds=[1, 1])
        lanes.step(ZEROS)
        with pytest.raises(RuntimeError) as refused:
            lanes.step(ZEROS)
        told.append((type(refused.value), str(refused.value)))
        envs.close()
        with pytest.raises(RuntimeError) as refused:
            lanes.step(ZEROS)
        told.append((type(refused.value), str(refused.value)))
    assert told[:4] == told[4:]


def test_rollouts_and_filters_are_checked(both):
    remote, _ = both
    remote.reset(seed=1)
    lanes = remote._lanes.current()
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected \(2, horizon, 3\)"):
        remote.rollout(ZEROS)
    with pytest.raises(ValueError, match="action"):
        remote.rollout(np.full((2, 4, 3), 9.0))
    with pytest.raises(ValueError, match="lanes holds 5"):
        remote.rollout(np.zeros((1, 4, 3)), lanes=[5])
    with pytest.raises(ValueError, match="seeds"):
        remote.rollout(np.zeros((2, 4, 3)), seeds=[1, -1])
    lanes.set_knobs([0], horizon=1)
    remote.step(ZEROS)
    with pytest.raises(RuntimeError, match="episode is over"):
        remote.rollout(np.zeros((2, 4, 3)))
    frames = np.concatenate([FRAME] * 2)
    with pytest.raises(RuntimeError, match="seen no frame; expected begin"):
        lanes.filter(frames, ZEROS)
    with pytest.raises(ValueError, match="expected uint8"):
        lanes.filter(frames.astype(float), begin=np.ones(2, bool))
    with pytest.raises(ValueError, match="no actions were given"):
        lanes.filter(frames)


def test_what_a_server_has_not(far):
    with pytest.raises(NotServed, match=r"model 'nowhere' is not served here; expected one of"):
        RemoteDreamEnv("nowhere", server=far.address)
    envs = RemoteDreamVectorEnv("lively", 10_000, server=far.address)
    with pytest.raises(ServerFull, match=r"10000 lanes were asked for; expected at most"):
        envs.reset(seed=0)


def make_both(far, name):
    """The makers of an env on a server: with the library, and without it."""
    yield lambda **knobs: make_env(name, server=far.address, **knobs)
    yield lambda **knobs: make_vector_env(name, 2, server=far.address, **knobs)
    yield lambda **knobs: dreamenv.sb3.DreamVecEnv(name, 2, server=far.address, **knobs)
    yield lambda **knobs: RemoteDreamEnv(name, server=far.address, **knobs)
    yield lambda **knobs: RemoteDreamVectorEnv(name, 2, server=far.address, **knobs)


@pytest.mark.parametrize("name", ["lively", "Dream-CarRacing-v0"])
@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"obs": "frames"}, r"obs: expected .*got 'frames'"),
        ({"temperature": [1.0, 0.5]}, r"temperature is .*; expected .*\[low, high\]"),
        ({"termination": "never"}, r"termination is 'never'; expected"),
        ({"horizon": 0}, r"horizon is 0; expected"),
        ({"starts": "last"}, r"starts is 'last'; expected"),
        ({"render_mode": "human"}, r"render_mode"),
        ({"device": "cuda"}, r"device is for the server to decide"),
        ({"compile": False}, r"compile is for the server to decide"),
        ({"pad_rows": 8}, r"pad_rows is for the server to decide"),
        ({"uncertainty": False}, r"uncertainty is for the server to decide"),
        ({"propagation": "mean"}, r"propagation is for the server to decide"),
        ({"snapshot_every": 0}, r"snapshot_every is 0; expected a whole number of at least 1"),
        ({"snapshot_every": 1.5}, r"snapshot_every is 1.5; expected"),
        ({"reconnect_seconds": -1}, r"reconnect_seconds is -1; expected"),
        ({"tls": 3}, r"tls is 3; expected True, False, or a path"),
        ({"client_cert": "a"}, r"client_cert and client_key go together"),
    ],
)
def test_bad_keywords_are_refused_before_anything_opens(far, name, knobs, said):
    for make in make_both(far, name):
        with pytest.raises(ValueError, match=said):
            make(**knobs)


def test_misspelt_keywords_and_those_left_at_none(far):
    for make in make_both(far, "lively"):
        with pytest.raises(TypeError, match=r"unknown keywords \['temprature'\]; a remote dream"):
            make(temprature=1.0)
        left_out = ["obs", "temperature", "horizon", "starts", "snapshot_every", "tls"]
        made = make(**dict.fromkeys(left_out))
        made.close()
    for make in list(make_both(far, "lively"))[:3]:
        make(device=None, compile=None, pad_rows=None).close()


@pytest.mark.parametrize("knob", ["token_file", "tls", "snapshot_every", "reconnect_seconds"])
def test_keywords_of_a_server_without_one(packages, knob):
    with pytest.raises(ValueError, match=f"{knob} belongs to server=, which was not given"):
        make_env(str(packages["lively"]), **{knob: 1})
    with pytest.raises(ValueError, match=f"{knob} belongs to server=, which was not given"):
        dreamenv.make_real(str(packages["lively"]), **{knob: 1})


def test_the_real_env_refuses_what_a_server_does_not(far, packages):
    name = "Dream-CarRacing-v0"
    with pytest.raises(ValueError, match="sample: expected False with server="):
        dreamenv.make_real(name, server=far.address, sample=True)
    with pytest.raises(ValueError, match="device: expected none with server="):
        dreamenv.make_real(name, server=far.address, device="cpu")
    with pytest.raises(TypeError, match="unknown keywords"):
        dreamenv.make_real(name, server=far.address, servr="x")
    with pytest.raises(ValueError, match="name under which the server has a model"):
        dreamenv.make_real(packages["lively"], server=far.address)


def test_a_shipped_id_that_the_server_has_another_model_for(packages, tmp_path):
    from far_server import FarServer

    served = f"Dream-CarRacing-v0={packages['lively']}"
    with FarServer(tmp_path, [served]) as far:
        env = make_env("Dream-CarRacing-v0", server=far.address)
        with pytest.raises(RemoteError, match=r"of identity \w+; expected \w+, which is the one"):
            env.reset(seed=0)


def test_any_package_by_the_name_it_has_there(far):
    import gymnasium as gym

    env = gym.make(ANY_PACKAGE, model="lively", server=far.address)
    env.reset(seed=0)
    env.close()
    source = remote_source(far.address, "lively", obs="latent")
    lanes = source.open(3)
    assert lanes.num_lanes == 3
    assert lanes.observation_space == source.observation_space
    lanes.close()


def test_codes_become_exceptions():
    assert type(refusal(3, "x", "s")) is ValueError
    assert type(refusal(9, "x", "s")) is RuntimeError
    assert isinstance(refusal(99, "x", "s"), RemoteError)
    assert retry_after(8, "Try again in 0.125 s.") == 0.125
    assert retry_after(3, "Try again in 0.125 s.") is None
