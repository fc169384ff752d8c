"""The VAE's objective against its formula, and what its quartic term is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamenv.data.rollouts import Episode
from dreamenv.models.vae import VAE, VAESizes
from dreamenv.progress import silent
from dreamenv.training import vae as training
from dreamenv.training.vae import VAEConfig, fit_vae


def episode(frames):
    n = len(frames) - 1
    return Episode(
        frames, np.zeros(n, np.int64), np.ones(n, np.float32), True, False, 0, "random", n
    )


def loss_of(config, frames, monkeypatch):
    """The first step's loss and figures, of a VAE that says the same of all frames."""
    taken = []
    monkeypatch.setattr(training, "fit", lambda *a: taken.append(a))
    torch.manual_seed(0)
    vae = VAE(VAESizes(16, 16, 3, latent=2, base=1))
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        vae.encoder[-1].bias.copy_(torch.tensor([1.0, -2.0, 0.0, 0.0]))
    fit_vae(vae, [episode(frames)], config, seed=0, folder=None, progress=silent)
    return taken[0][3](0, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("quartic", [0.0, 4.0])
@pytest.mark.parametrize("free_bits", [0.0, 1.0])
def test_the_objective_is_its_formula(monkeypatch, quartic, free_bits):
    frame = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    config = VAEConfig(batch=5, weight=3.0, quartic=quartic, free_bits=free_bits)
    value, figures = loss_of(config, np.stack([frame] * 4), monkeypatch)
    error = frame / 255.0 - 0.5  # what a decoder of zeros draws is grey
    # KL of N(1, 1) and of N(-2, 1) against N(0, 1): half the squared mean.
    expected = 3.0 * ((error**2).sum() + quartic * (error**4).sum())
    expected += max(0.5, free_bits) + max(2.0, free_bits)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert figures["squared error"] == pytest.approx((error**2).sum(), rel=1e-5)
    assert figures["kl"] == pytest.approx(2.5)


def test_the_quartic_term_weighs_a_spot_above_faint_texture_of_the_same_squared_error(monkeypatch):
    grey = np.full((16, 16, 3), 127, np.uint8)
    spot, texture = grey.copy(), grey.copy()
    spot[4:6, 4:6] = 255  # 4 pixels off by a half
    texture[::2, ::2] = 159  # 64 pixels off by an eighth
    costs = {}
    for name, frame in (("spot", spot), ("texture", texture)):
        for quartic in (0.0, 4.0):
            config = VAEConfig(batch=2, weight=1.0, quartic=quartic, free_bits=0.0)
            costs[name, quartic] = loss_of(config, np.stack([frame] * 3), monkeypatch)[0].item()
    assert costs["spot", 0.0] == pytest.approx(costs["texture", 0.0], rel=0.02)
    assert costs["spot", 4.0] > 1.4 * costs["texture", 4.0]
