"""A small package with random weights whose dreams are lively: states move, episodes end."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from dreamenv.config import BoxAction, DiscreteAction, DreamDefaults, PackageConfig, RealSpec
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.packages import Package, save_package

SIDE = 16


def save_lively(folder: Path, *, discrete: bool = False, seed: int = 0) -> Path:
    """Save one; about one episode in thirty steps ends by itself, the others at 60."""
    sizes = MDNRNNSizes(
        height=SIDE,
        width=SIDE,
        vae_base=2,
        latent=4,
        hidden=8,
        mixtures=3,
        head=8,
        action=3,
        reward_bins=7,
        discrete=int(discrete),
    )
    starts = 40
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MDNRNN(sizes)
        with torch.no_grad():
            model.mixture.weight.mul_(3.0)
            model.outcome[2].weight.mul_(3.0)
            model.outcome[2].bias[-1] = -3.5
        bank = {
            "z": torch.randn(starts, sizes.latent),
            "h": torch.randn(starts, sizes.hidden).tanh(),
            "c": torch.randn(starts, sizes.hidden),
        }
    first = torch.zeros(starts, dtype=torch.uint8)
    first[: starts // 2] = 1
    config = PackageConfig(
        name=folder.name,
        family="mdnrnn",
        sizes=asdict(sizes),
        observation_shape=[SIDE, SIDE, 3],
        action=DiscreteAction(n=3) if discrete else BoxAction(size=3),
        latent=model.latent,
        features=model.features,
        latent_bound=sizes.latent_bound,
        real=RealSpec(env_id="CarRacing-v3"),
        defaults=DreamDefaults(horizon=60),
    )
    states = {name: tensor.half() for name, tensor in bank.items()} | {"first": first}
    package = Package(config, dict(model.state_dict()), states)
    return save_package(package, folder, f"# {folder.name}\n")
