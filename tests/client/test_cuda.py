"""Dreams on a GPU, in process and served. Only where there is one."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from far_server import FarServer
from gymnasium.vector import AutoresetMode
from test_remote_equals_local import assert_same, run

from dreamenv.config import DiscreteAction
from dreamenv.dream import Dream
from dreamenv.packages import load_package
from dreamenv.registration import ANY_PACKAGE
from dreamenv.sources import resolve, shipped

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

LANES = 40
STEPS = 20


def rollout(name: str, device: str, lanes: int = LANES) -> list[np.ndarray]:
    """Observations and rewards of some decisions."""
    package = load_package(resolve(name))
    dream = Dream(package, lanes, device=device, termination="none")
    shown = [dream.reset(seeds=range(lanes)).observation]
    space = package.config.action
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        if isinstance(space, DiscreteAction):
            actions = rng.integers(0, space.n, LANES)
        else:
            actions = rng.uniform(-1, 1, (LANES, space.size)).astype(np.float32)
        step = dream.step(actions[:lanes])
        shown += [step.observation, step.reward]
    dream.close()
    return shown


@pytest.mark.parametrize("name", shipped())
def test_a_dream_on_a_gpu_is_that_of_the_cpu(name):
    """From the same seeds: noise is the same, sums round otherwise, and chaos takes its time."""
    here, there = (rollout(name, device) for device in ("cpu", "cuda"))
    for near, far in zip(here[:5], there[:5], strict=True):
        np.testing.assert_allclose(near, far, atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize("name", shipped())
def test_it_repeats_bit_for_bit(name):
    for once, again in zip(rollout(name, "cuda"), rollout(name, "cuda"), strict=True):
        assert once.tobytes() == again.tobytes()


@pytest.mark.parametrize("name", shipped())
def test_a_lane_does_not_depend_on_its_neighbours(name):
    for many, few in zip(rollout(name, "cuda"), rollout(name, "cuda", lanes=3), strict=True):
        assert many[:3].tobytes() == few.tobytes()


@pytest.fixture(scope="module")
def far_gpu(packages, tmp_path_factory):
    models = [*map(str, packages.values()), *shipped()]
    with FarServer(tmp_path_factory.mktemp("gpu"), models, device="cuda") as server:
        yield server


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", [*shipped(), "lively", "unsure"])
def test_a_server_on_a_gpu_gives_what_the_gpu_gives_in_process(name, mode, packages, far_gpu):
    one, here, there = name, {}, {}
    if name in packages:
        one, here, there = ANY_PACKAGE, {"model": str(packages[name])}, {"model": name}
    how = dict(num_envs=3, autoreset_mode=mode.value, horizon=7)
    near = run(gym.make_vec(one, device="cuda", **how, **here), mode, STEPS)
    remote = run(gym.make_vec(one, server=far_gpu.address, **how, **there), mode, STEPS)
    for told, own in zip(remote, near, strict=True):
        assert_same(told, own)


def test_a_learner_learns_in_it(packages, tmp_path):
    from dreamenv.learn import learn

    out = tmp_path / "policy.zip"
    learned = learn(packages["unsure"], out=out, algo="ppo", timesteps=512, device="cuda")
    assert learned.timesteps >= 512
    assert out.exists()
