"""Fit the MDN-RNN on encoded episodes, and read a trained one along real ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from dreamenv.models.mdnrnn import MDNRNN
from dreamenv.models.two_hot import expectation, symlog_bins, two_hot
from dreamenv.progress import Progress
from dreamenv.training.fit import FitConfig, fit
from dreamenv.training.sequences import RealSequence, Window, Windows


@dataclass(frozen=True)
class RNNConfig:
    """The MDN-RNN's objective: latent_weight · NLL(z') + CE(reward) + BCE(termination)."""

    steps: int = 4000
    batch: int = 48
    length: int = 48
    learning_rate: float = 1e-3
    latent_weight: float = 0.125
    """On the negative log likelihood of z', summed over its dimensions, in nats."""


def fit_reward_bins(model: MDNRNN, sequences: Sequence[RealSequence], keep: bool) -> None:
    """Span the data's rewards, and with ``keep`` whatever the model spanned before."""
    rewards = torch.cat([s.rewards for s in sequences])
    low, high = float(rewards.min()), float(rewards.max())
    if keep:
        low = min(low, float(model.reward_bins[0]))
        high = max(high, float(model.reward_bins[-1]))
    if high - low <= 1e-3 * max(abs(low), abs(high)) + 1e-12:  # one value, but for rounding
        low, high = low - 0.5, high + 0.5
    model.reward_bins.copy_(symlog_bins(low, high, model.sizes.reward_bins))


def fit_mdnrnn(
    model: MDNRNN,
    sequences: Sequence[RealSequence],
    config: RNNConfig,
    *,
    seed: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Train LSTM and heads in place; the VAE stays as it is."""
    windows = Windows(sequences, config.batch, config.length)
    carried = {
        "h": torch.zeros(1, config.batch, model.sizes.hidden),
        "c": torch.zeros(1, config.batch, model.sizes.hidden),
        "episode": windows.episode,
        "position": windows.position,
    }

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        windows.episode, windows.position = carried["episode"], carried["position"]
        window = windows.draw(generator)
        carried["episode"], carried["position"] = windows.episode, windows.position
        going_on = (~window.fresh).to(torch.float32)[None, :, None]
        inputs = torch.cat([window.z[:, :-1], model.embed(window.actions)], dim=2)
        start = (carried["h"] * going_on, carried["c"] * going_on)
        output, (h, c) = model.lstm(inputs, start)
        carried["h"], carried["c"] = h.detach(), c.detach()
        if model.sizes.dropout:
            keep = 1.0 - model.sizes.dropout
            mask = torch.empty_like(output[:, :1]).bernoulli_(keep, generator=generator)
            output = output * (mask / keep)
        return _objective(model, output, window, config)

    heads = [*model.lstm.parameters(), *model.mixture.parameters(), *model.outcome.parameters()]
    fit(
        "mdnrnn",
        model,
        heads,
        loss,
        FitConfig(config.steps, config.learning_rate, 0.1 * config.learning_rate, seed=seed),
        folder,
        progress,
        carried,
    )


def _objective(
    model: MDNRNN, output: Tensor, window: Window, config: RNNConfig
) -> tuple[Tensor, dict[str, float]]:
    count = window.mask.sum()
    following = window.z[:, 1:]
    log_prob = model.following(output).log_prob(following)
    nll = -(log_prob * window.shown).sum() / window.shown.sum()
    reward_logits, termination_logit = model.judge(output, following)
    target = two_hot(window.rewards, model.reward_bins)
    reward = -((target * reward_logits.log_softmax(-1)).sum(-1) * window.mask).sum() / count
    ending = F.binary_cross_entropy_with_logits(
        termination_logit, window.terminated, weight=window.mask, reduction="sum"
    )
    value = config.latent_weight * nll + reward + ending / count
    figures = {
        "nll": nll.item() / model.latent,
        "reward": reward.item(),
        "termination": ending.item() / count.item(),
    }
    return value, figures


@dataclass(frozen=True)
class Reading:
    """What a model made of one real episode, fed its real latents (posterior means)."""

    z: Tensor
    """Posterior means, float32 ``[T + 1, latent]``."""
    h: Tensor
    """LSTM output before each frame, float32 ``[T + 1, hidden]``; zero at the first."""
    c: Tensor
    nll: Tensor
    """Of each next latent, mean over dimensions, nats, float32 ``[T]``."""
    reward: Tensor
    termination: Tensor
    """Probability that each decision ended the episode, float32 ``[T]``."""


@torch.inference_mode()
def read(
    model: MDNRNN, sequences: Sequence[RealSequence], batch: int = 64
) -> Iterator[tuple[int, Reading]]:
    """Run the model along real episodes, as :func:`dreamenv.make_real` does.

    Yields:
        Each sequence's index with its reading; similar lengths together, not in order.
    """
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        z = pad_sequence([sequences[i].mean for i in chosen], batch_first=True)
        z = z.clamp(-model.sizes.latent_bound, model.sizes.latent_bound)
        actions = pad_sequence([sequences[i].actions for i in chosen], batch_first=True)
        zeros = z.new_zeros(len(chosen), model.sizes.hidden)
        hs, cs = [zeros], [zeros]
        for t in range(actions.shape[1]):
            h, c = model.recur({"z": z[:, t], "h": hs[-1], "c": cs[-1]}, actions[:, t])
            hs.append(h)
            cs.append(c)
        h, c = torch.stack(hs, 1), torch.stack(cs, 1)
        nll = -model.following(h[:, 1:]).log_prob(z[:, 1:]) / model.latent
        reward_logits, termination_logit = model.judge(h[:, 1:], z[:, 1:])
        reward = expectation(reward_logits, model.reward_bins)
        termination = torch.sigmoid(termination_logit)
        for row, i in enumerate(chosen):
            n = len(sequences[i])
            yield (
                i,
                Reading(
                    z[row, : n + 1],
                    h[row, : n + 1],
                    c[row, : n + 1],
                    nll[row, :n],
                    reward[row, :n],
                    termination[row, :n],
                ),
            )
