"""Packages with random weights whose dreams are lively: episodes last, states move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from dreamenv.config import BoxAction, DiscreteAction, DreamDefaults, PackageConfig, RealSpec
from dreamenv.dream import Dream
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.packages import Package

# The same examples each time, and no clock: nothing here may pass or fail by luck or by load.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

SMALL = dict(height=16, width=16, vae_base=2, latent=4, hidden=8, mixtures=3, head=8)
CAR = dict(
    height=16, width=16, vae_base=2, latent=32, hidden=256, mixtures=5, head=128, dropout=0.1
)


def random_package(
    sizes: dict[str, Any],
    *,
    discrete: bool = False,
    starts: int = 40,
    ending_logit: float = -3.5,
    defaults: dict[str, Any] | None = None,
) -> Package:
    """Random weights, on no real env; about one episode in thirty steps ends by itself."""
    own = MDNRNNSizes(**{"action": 3, "reward_bins": 7, "discrete": int(discrete), **sizes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MDNRNN(own)
        with torch.no_grad():
            model.mixture.weight.mul_(3.0)
            model.outcome[2].weight.mul_(3.0)
            model.outcome[2].bias[-1] = ending_logit
        bank = {
            "z": torch.randn(starts, own.latent),
            "h": torch.randn(starts, own.hidden).tanh(),
            "c": torch.randn(starts, own.hidden),
        }
    first = torch.zeros(starts, dtype=torch.uint8)
    first[: starts // 2] = 1
    config = PackageConfig(
        name="random",
        family="mdnrnn",
        sizes=asdict(own),
        observation_shape=[own.height, own.width, own.channels],
        action=DiscreteAction(n=own.action) if discrete else BoxAction(size=own.action),
        latent=model.latent,
        features=model.features,
        latent_bound=own.latent_bound,
        real=RealSpec(env_id="CarRacing-v3"),
        defaults=DreamDefaults(**{"horizon": 60, **(defaults or {})}),
    )
    starts_bank = {name: tensor.half() for name, tensor in bank.items()} | {"first": first}
    return Package(config, dict(model.state_dict()), starts_bank)


@pytest.fixture(scope="session")
def small() -> Package:
    return random_package(SMALL)


@pytest.fixture(scope="session")
def car() -> Package:
    """The car's sizes and dropout, but for the VAE."""
    return random_package(CAR)


@pytest.fixture
def actions_of() -> Callable[[int, int], np.ndarray]:
    """The first so many actions of a lane, a function of its seed."""

    def actions(seed: int, count: int) -> np.ndarray:
        return np.random.default_rng(seed).uniform(-1, 1, (count, 3)).astype(np.float32)

    return actions


@pytest.fixture
def dream(small: Package) -> Dream:
    """Three lanes, begun under seeds 10, 11 and 12."""
    lanes = Dream(small, 3)
    lanes.reset(seeds=[10, 11, 12])
    return lanes
