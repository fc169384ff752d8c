"""A model of vectors on a server: bitwise as in process, and nothing but numbers gets in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch
from dreamenv_client.remote_lanes import RemoteLanes
from dreamenv_client.remote_source import remote_source
from far_server import FarServer

import dreamenv

ACTIONS = np.float32([[0.5], [-1.0], [0.25], [1.0]])


@pytest.fixture(autouse=True)
def one_thread():
    """As the server has: the number of threads may change the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def server(pendulum_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with FarServer(tmp_path_factory.mktemp("far"), [str(pendulum_package)]) as far:
        yield far.address


@pytest.fixture
def lanes(server: str) -> Iterator[RemoteLanes]:
    opened = cast(RemoteLanes, remote_source(server, "pendulum").open(2))
    yield opened
    opened.close()


@pytest.mark.parametrize("obs", ["features", "pixels"])
def test_the_real_env_is_seen_as_in_process(server, pendulum_package, obs):
    near, far = (
        make(obs=obs)
        for make in (
            lambda **kw: dreamenv.make_real(pendulum_package, **kw),
            lambda **kw: dreamenv.make_real("pendulum", server=server, **kw),
        )
    )
    assert near.observation_space == far.observation_space
    assert near.reset(seed=1)[0].tobytes() == far.reset(seed=1)[0].tobytes()
    for action in ACTIONS:
        ours, theirs = near.step(action), far.step(action)
        assert ours[0].tobytes() == theirs[0].tobytes()
        assert ours[1:4] == theirs[1:4]
    far.close()


def test_a_dream_begins_steps_and_renders_as_in_process(server, pendulum_package):
    observations = np.float32([[1.0, 0.0, 0.5], [0.99, 0.1, 1.5]])
    options: dict[str, Any] = {"observations": observations, "actions": ACTIONS[:1]}
    near, far = (
        gym.make("Dream-v0", render_mode="rgb_array", **kwargs)
        for kwargs in (
            {"model": str(pendulum_package)},
            {"model": "pendulum", "server": server},
        )
    )
    assert far.reset(seed=3, options=options)[0].tobytes() == (
        near.reset(seed=3, options=options)[0].tobytes()
    )
    for action in ACTIONS:
        assert near.step(action)[0].tobytes() == far.step(action)[0].tobytes()
    assert near.render().tobytes() == far.render().tobytes()
    far.close()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.5e6])
def test_a_hostile_client_is_refused(lanes, bad):
    """In Filter and in the options of a reset; the filter is where it was then."""
    good = np.float32([[1.0, 0.0, 0.5], [0.0, 1.0, -0.5]])
    spoilt = good.copy()
    spoilt[1, 2] = bad
    begin = np.ones(2, np.bool_)
    lanes.reset(seeds=[1, 2])
    first = lanes.filter(good, begin=begin)
    for refused in (
        lambda: lanes.filter(spoilt, begin=begin),
        lambda: lanes.filter(spoilt, ACTIONS[:2]),
        lambda: lanes.reset(options={"observations": spoilt[:, None]}),
    ):
        with pytest.raises(ValueError, match=r"observations\[1, (0, )?2\] is .*; expected numbers"):
            refused()
    assert np.isfinite(lanes.filter(good, ACTIONS[:2])).all()
    assert lanes.filter(good, begin=begin).tobytes() == first.tobytes()
    assert np.isfinite(lanes.step(ACTIONS[:2]).observation).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_another_dtype_is_refused(lanes, dtype):
    wrong = np.ones((2, 3), dtype)
    with pytest.raises(ValueError, match=r"expected float32 \(2, 3\): one frame or vector"):
        lanes.filter(wrong, begin=np.ones(2, np.bool_))
    with pytest.raises(ValueError, match="expected float32 of shape"):
        lanes.reset(options={"observations": wrong[:, None]})
