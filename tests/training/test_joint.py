"""What either mixture can learn of a rare event that shows in several dimensions at once."""

from __future__ import annotations

import pytest
import torch

from dreamenv.audit.filtered import draw_noise
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.progress import silent
from dreamenv.training.mdnrnn import RNNConfig, fit_mdnrnn
from dreamenv.training.sequences import RealSequence

RARE, LANES = 0.1, 20_000


def flashes(episodes: int, length: int) -> list[RealSequence]:
    """Three dimensions at -1 that are all at +1 in one moment of ten."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(episodes):
        flash = torch.rand(length + 1, 1, generator=generator) < RARE
        mean = torch.where(flash, 1.0, -1.0).expand(-1, 3)
        spread = torch.full_like(mean, -4.0)
        actions, rewards = torch.zeros(length, 1), torch.zeros(length)
        found.append(RealSequence(mean, spread, actions, rewards, False))
    return found


@pytest.mark.parametrize("joint", [0, 1])
def test_only_a_joint_mixture_dreams_of_a_whole_flash(joint, tmp_path):
    torch.manual_seed(0)
    sizes = MDNRNNSizes(
        height=16, width=16, vae_base=1, latent=3, hidden=4, mixtures=2, joint=joint, action=1,
        head=4, reward_bins=5,
    )  # fmt: skip
    model = MDNRNN(sizes)
    config = RNNConfig(steps=400, batch=16, length=16, learning_rate=3e-2, latent_weight=1.0)
    fit_mdnrnn(model, flashes(16, 64), config, seed=0, folder=tmp_path, progress=silent)
    start = {"z": torch.full((LANES, 3), -1.0), "h": torch.zeros(LANES, 4)}
    with torch.inference_mode():
        dreamt = model.step(
            model.begin(start | {"c": start["h"]}),
            torch.zeros(LANES, 1),
            torch.ones(LANES),
            draw_noise(model.noise, LANES, torch.Generator().manual_seed(1)),
        ).state["z"]
    up = dreamt > 0
    share = up.double().mean(0)
    assert share.tolist() == pytest.approx([RARE] * 3, abs=0.05)
    torn = float((up.any(1) & ~up.all(1)).double().mean())
    independent = float(1 - share.prod() - (1 - share).prod())
    assert torn == pytest.approx(0.0 if joint else independent, abs=0.02)
