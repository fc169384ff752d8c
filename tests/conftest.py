"""What many tests need: a dream package so small that making and stepping it costs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

SIDE = 48
"""Pixels a side of the tiny model's frames: SB3's checker wants 36 at least, the VAE 16s."""


@pytest.fixture(scope="session")
def make_package() -> Callable[..., object]:
    """A package with random weights on CarRacing-v3, continuous or (5) discrete actions."""
    import torch

    from dreamenv.config import (
        ActionRepeat,
        BoxAction,
        Crop,
        DiscreteAction,
        DreamDefaults,
        PackageConfig,
        RealSpec,
        RescaleAction,
        Resize,
    )
    from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
    from dreamenv.packages import Package

    def make(*, discrete: bool = False, seed: int = 0, starts: int = 6) -> Package:
        sizes = MDNRNNSizes(
            height=SIDE,
            width=SIDE,
            vae_base=2,
            latent=4,
            hidden=8,
            mixtures=2,
            action=5 if discrete else 3,
            discrete=int(discrete),
            head=8,
            reward_bins=5,
        )
        preprocessing = [
            ActionRepeat(times=4),
            Crop(bottom=84, right=96),
            Resize(height=SIDE, width=SIDE),
        ]
        if not discrete:
            preprocessing.append(RescaleAction(low=[-1.0, 0.0, -1.0], high=[1.0, 1.0, 1.0]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = MDNRNN(sizes)
            state = {
                "z": torch.randn(starts, sizes.latent),
                "h": torch.randn(starts, sizes.hidden).tanh(),
                "c": torch.randn(starts, sizes.hidden),
            }
        first = torch.zeros(starts, dtype=torch.uint8)
        first[: (starts + 1) // 2] = 1
        return Package(
            config=PackageConfig(
                name="tiny",
                family="mdnrnn",
                sizes=asdict(sizes),
                observation_shape=[SIDE, SIDE, 3],
                action=DiscreteAction(n=5) if discrete else BoxAction(size=3),
                latent=model.latent,
                features=model.features,
                latent_bound=sizes.latent_bound,
                real=RealSpec(
                    env_id="CarRacing-v3",
                    kwargs={"continuous": False} if discrete else {},
                    preprocessing=preprocessing,
                    frames_per_second=50,
                ),
                defaults=DreamDefaults(horizon=20),
                provenance={"real_steps": 0, "note": "random weights"},
            ),
            weights=dict(model.state_dict()),
            starts={name: tensor.half() for name, tensor in state.items()} | {"first": first},
        )

    return make


@pytest.fixture(scope="session")
def tiny_package(make_package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a saved package with continuous actions; not to be changed."""
    from dreamenv.packages import save_package

    return save_package(make_package(), tmp_path_factory.mktemp("box") / "tiny", "# tiny\n")


@pytest.fixture(scope="session")
def tiny_discrete_package(make_package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a saved package with discrete actions; not to be changed."""
    from dreamenv.packages import save_package

    package = make_package(discrete=True)
    return save_package(package, tmp_path_factory.mktemp("discrete") / "tiny", "# tiny\n")
