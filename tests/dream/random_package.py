"""Packages with random weights whose dreams are lively: episodes last, states move."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from dreamenv.config import BoxAction, DiscreteAction, DreamDefaults, PackageConfig, RealSpec
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.packages import Package

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
    name: str = "random",
    seed: int = 0,
) -> Package:
    """Random weights, on no real env; about one episode in thirty steps ends by itself."""
    own = MDNRNNSizes(**{"action": 3, "reward_bins": 7, "discrete": int(discrete), **sizes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
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
        name=name,
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
