"""Fit the VAE on frames, and encode whole data sets with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.data.rollouts import Episode
from dreamenv.models.vae import VAE
from dreamenv.progress import Progress
from dreamenv.training.fit import FitConfig, fit


@dataclass(frozen=True)
class VAEConfig:
    """The VAE's objective: weight · Σ (e² + quartic · e⁴) + KL to N(0, I), e a pixel's error."""

    steps: int = 6000
    batch: int = 128
    learning_rate: float = 1e-3
    weight: float = 3.0
    """On the squared error, against the KL; larger keeps smaller things."""
    quartic: float = 0.0
    """On e⁴: brings out what is small but differs much, a far fireball, against texture."""
    free_bits: float = 0.1
    """Nats a latent dimension (averaged over the batch) that cost nothing."""


def fit_vae(
    vae: VAE,
    episodes: Sequence[Episode],
    config: VAEConfig,
    *,
    seed: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Train in place on frames drawn evenly from all episodes."""
    offsets = np.cumsum([0] + [len(e.frames) for e in episodes])
    vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        index = torch.randint(int(offsets[-1]), (config.batch,), generator=generator)
        frames = torch.from_numpy(_gather(episodes, offsets, index.numpy()))
        mean, log_variance = vae.encode(frames)
        noise = torch.empty_like(mean).normal_(generator=generator)
        pixels = vae.decode(mean + torch.exp(0.5 * log_variance) * noise)
        target = frames.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        squares = (pixels - target).square()
        error = squares.sum() / config.batch
        cost = error + config.quartic * squares.square().sum() / config.batch
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean(0)
        value = config.weight * cost + kl.clamp_min(config.free_bits).sum()
        return value, {"squared error": error.item(), "kl": kl.sum().item()}

    fit(
        "vae",
        vae,
        list(vae.parameters()),
        loss,
        FitConfig(config.steps, config.learning_rate, 0.1 * config.learning_rate, seed=seed),
        folder,
        progress,
    )


def _gather(
    episodes: Sequence[Episode], offsets: NDArray[np.int64], index: NDArray[np.int64]
) -> NDArray[np.uint8]:
    which = np.searchsorted(offsets, index, side="right") - 1
    return np.stack([episodes[e].frames[i - offsets[e]] for e, i in zip(which, index, strict=True)])


@torch.inference_mode()
def encode_episode(vae: VAE, episode: Episode, chunk: int = 512) -> tuple[Tensor, Tensor]:
    """Mean and log variance of each frame, two float32 ``[T + 1, latent]``."""
    parts = [
        vae.encode(torch.from_numpy(np.array(episode.frames[i : i + chunk])))
        for i in range(0, len(episode.frames), chunk)
    ]
    mean, log_variance = (torch.cat(column) for column in zip(*parts, strict=True))
    return mean, log_variance
