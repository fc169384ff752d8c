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


@pytest.fixture(scope="session")
def make_unsure_package() -> Callable[..., object]:
    """An ensemble with random weights that knows how unsure it is: of four numbers, three actions.

    Its scale of trust is what its members say of random states and actions.
    """
    import numpy as np
    import torch

    from dreamenv.config import BoxAction, DreamDefaults, PackageConfig, RealSpec, TrustScale
    from dreamenv.models.ensemble import Ensemble, EnsembleSizes
    from dreamenv.packages import Package

    def make(
        *,
        propagation: int = 1,
        ending_logit: float = -3.5,
        starts: int = 40,
        defaults: dict[str, object] | None = None,
    ) -> Package:
        sizes = EnsembleSizes(
            observation=4, action=3, members=4, elites=3, hidden=16, layers=2, outcome=8,
            propagation=propagation,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            model = Ensemble(sizes)
            model.dynamics.weights[-1].mul_(3.0)
            model.change_scale.fill_(0.3)
            model.mean.copy_(torch.tensor([0.0, 5.0, -1.0, 2.0]))
            model.scale.copy_(torch.tensor([1.0, 2.0, 0.5, 3.0]))
            model.outcome.biases[-1][..., 1] = ending_logit
            seen = {"s": torch.randn(2000, 4), "member": torch.zeros(2000, dtype=torch.long)}
            raw = model.uncertainty(seen, torch.rand(2000, 3) * 2 - 1).epistemic
            bank = torch.randn(starts, 4).half()
        first = torch.zeros(starts, dtype=torch.uint8)
        first[: starts // 2] = 1
        return Package(
            config=PackageConfig(
                name="unsure",
                family="ensemble",
                sizes={n: getattr(sizes, n) for n in sizes.__dataclass_fields__},
                observation_shape=[4],
                observation_dtype="float32",
                action=BoxAction(size=3),
                latent=4,
                features=4,
                latent_bound=sizes.latent_bound,
                real=RealSpec(env_id="Hopper-v5"),
                defaults=DreamDefaults(**{"horizon": 60, **(defaults or {})}),
                trust=TrustScale(
                    quantiles=np.quantile(raw.numpy(), np.linspace(0, 1, 101)).tolist()
                ),
            ),
            weights=dict(model.state_dict()),
            starts={"s": bank, "first": first},
        )

    return make


@pytest.fixture(scope="session")
def unsure_package(
    make_unsure_package: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a saved ensemble; not to be changed."""
    from dreamenv.packages import save_package

    return save_package(
        make_unsure_package(), tmp_path_factory.mktemp("unsure") / "unsure", "# u\n"
    )


@pytest.fixture(scope="session")
def pendulum_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a saved ensemble with random weights on Pendulum-v1, whose numbers (cosine, sine,
    angular velocity) it normalises by 0.5 ± 0.5, 0 ± 0.5 and 1 ± 4; not to be changed."""
    import torch

    from dreamenv.config import BoxAction, DreamDefaults, PackageConfig
    from dreamenv.models.ensemble import Ensemble, EnsembleSizes
    from dreamenv.packages import Package, save_package
    from dreamenv.real_specs import load_real_spec

    sizes = EnsembleSizes(
        observation=3, action=1, members=3, elites=2, hidden=8, layers=1, outcome=4
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = Ensemble(sizes)
        model.mean.copy_(torch.tensor([0.5, 0.0, 1.0]))
        model.scale.copy_(torch.tensor([0.5, 0.5, 4.0]))
        model.change_scale.fill_(0.3)
        bank = torch.randn(6, 3).half()
    package = Package(
        config=PackageConfig(
            name="pendulum",
            family="ensemble",
            sizes={n: getattr(sizes, n) for n in sizes.__dataclass_fields__},
            observation_shape=[3],
            observation_dtype="float32",
            action=BoxAction(size=1),
            latent=3,
            features=3,
            latent_bound=sizes.latent_bound,
            real=load_real_spec("Pendulum-v1"),
            defaults=DreamDefaults(horizon=20, termination="none"),
            provenance={"real_steps": 0, "note": "random weights"},
        ),
        weights=dict(model.state_dict()),
        starts={"s": bank, "first": torch.ones(6, dtype=torch.uint8)},
    )
    return save_package(package, tmp_path_factory.mktemp("states") / "pendulum", "# p\n")
