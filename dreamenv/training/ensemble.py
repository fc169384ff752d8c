"""Fit an ensemble on transitions (Chua et al. 2018; Janner et al. 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamenv.models.ensemble import Ensemble, Uncertainty
from dreamenv.progress import Progress
from dreamenv.training.deviations import fit_deviations
from dreamenv.training.fit import FitConfig, fit
from dreamenv.training.transitions import Transitions

LOOKS = 30
"""At the held-out data, over a fit: each member keeps its best weights."""
MOST_HELD_OUT = 5000
"""Transitions of a look."""
BOUND_WEIGHT = 0.01
"""On the distance of the bounds of the log variance, which would stay apart otherwise."""


@dataclass(frozen=True)
class EnsembleConfig:
    """The objective: NLL(change) + reward_weight · MSE(reward) + BCE(termination) + weight decay,
    each member on a bootstrap sample of its own."""

    steps: int = 2000
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 5e-5
    reward_weight: float = 1.0
    healthy_range: bool = True
    """Whether a range of states may say where episodes end, where it does so better than the
    networks (:mod:`dreamenv.training.healthy`)."""


@torch.no_grad()
def begin_endings(model: Ensemble, data: Transitions) -> None:
    """Let an untrained model end episodes as often, a decision, as the data do, plus one
    ending and one decision that was none. From even chances a short fit would not come down."""
    ended = float(data.terminated.sum())
    odds = (ended + 1.0) / (len(data) - ended + 1.0)
    model.outcome.biases[-1][..., 1] = math.log(odds)


def fit_ensemble(
    model: Ensemble,
    data: Transitions,
    held_out: Transitions,
    config: EnsembleConfig,
    *,
    seed: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Train all members in place, put them in order of their error on the held-out data, and fit
    the width of their dreams to it."""
    model.reset_log_variance_bounds()  # which an earlier fit has moved
    generator = torch.Generator().manual_seed(seed)
    members = model.sizes.members
    bootstrap = torch.randint(len(data), (members, len(data)), generator=generator)
    shown = held_out[torch.randperm(len(held_out), generator=generator)[:MOST_HELD_OUT]]
    every = max(1, config.steps // LOOKS)
    best: dict[str, Any] = {
        "error": torch.full((members,), float("inf")),
        "weights": {name: p.detach().clone() for name, p in _of_members(model)},
    }

    def look() -> None:
        error, kept = _errors(model, shown), best["error"]
        better = error < kept
        kept[better] = error[better]
        for name, parameter in _of_members(model):
            best["weights"][name][better] = parameter.detach()[better]

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        if step % every == 0 and step:
            look()
        drawn = torch.randint(len(data), (members, config.batch), generator=generator)
        rows = data[bootstrap.gather(1, drawn)]
        return _objective(model, rows, config)

    fit(
        "ensemble",
        model,
        list(model.parameters()),
        loss,
        FitConfig(config.steps, config.learning_rate, 0.1 * config.learning_rate, seed=seed),
        folder,
        progress,
        best,
    )
    look()
    order = best["error"].argsort()
    with torch.no_grad():
        for name, parameter in _of_members(model):
            parameter.copy_(best["weights"][name][order])
    fit_deviations(model, shown)


def _of_members(model: Ensemble) -> list[tuple[str, nn.Parameter]]:
    """Parameters ``[members, ...]`` by name."""
    return [(n, p) for n, p in model.named_parameters() if n.startswith(("dynamics", "outcome"))]


@torch.no_grad()
def _errors(model: Ensemble, held_out: Transitions) -> Tensor:
    """Held-out loss of each member, ``[members]``."""
    every = torch.arange(len(held_out)).expand(model.sizes.members, -1)
    nll, reward, ending = _losses(model, held_out[every])
    return nll + reward + ending


def _losses(model: Ensemble, rows: Transitions) -> tuple[Tensor, Tensor, Tensor]:
    """NLL of the change (nats a number), squared error of the reward and cross entropy of the
    termination, ``[members]`` each, of rows ``[members, batch]``."""
    s, following = model.normalised(rows.observation), model.normalised(rows.following)
    target = (following - s - model.change_mean) / model.change_scale
    acted = torch.cat([s, model.embed(rows.action)], dim=-1)
    mean, log_variance = model.dynamics(acted).chunk(2, dim=-1)
    log_variance = model.bounded(log_variance)
    nll = 0.5 * ((mean - target).square() * torch.exp(-log_variance) + log_variance).mean((1, 2))
    outcome = model.outcome(torch.cat([acted, following], dim=-1))
    offset, scale = model.reward_scale
    reward = (outcome[..., 0] - (rows.reward - offset) / scale).square().mean(1)
    ending = F.binary_cross_entropy_with_logits(
        outcome[..., 1], rows.terminated, reduction="none"
    ).mean(1)
    return nll, reward, ending


def _objective(
    model: Ensemble, rows: Transitions, config: EnsembleConfig
) -> tuple[Tensor, dict[str, float]]:
    nll, reward, ending = (loss.sum() for loss in _losses(model, rows))
    decay = sum(p.square().sum() for n, p in _of_members(model) if "weights" in n)
    apart = (model.most_log_variance - model.least_log_variance).sum()
    value = nll + config.reward_weight * reward + ending
    value = value + config.weight_decay * decay + BOUND_WEIGHT * apart
    count = model.sizes.members
    figures = {"nll": nll.item(), "reward": reward.item(), "termination": ending.item()}
    return value, {name: figure / count for name, figure in figures.items()}


@torch.inference_mode()
def foretold(model: Ensemble, data: Transitions) -> dict[str, Tensor]:
    """What the elites make of each transition, without noise.

    Returns:
        ``error`` of the mean change ``[N, n]`` in its own units, ``reward`` ``[N]`` in the real
        env's, and ``uncertainty`` ``[N]``, epistemic.
    """
    s, elites = model.normalised(data.observation), model.sizes.elites
    acted = torch.cat([s, model.embed(data.action)], dim=1)
    means, deviations = model.spread(model.dynamics.every(acted, elites))
    change = means.mean(0)
    outcome = model.outcome.every(torch.cat([acted, model.moved(s, change)], dim=1), elites)
    target = (model.normalised(data.following) - s - model.change_mean) / model.change_scale
    return {
        "error": change - target,
        "reward": model.reward(outcome).mean(0),
        "uncertainty": Uncertainty.of(means, deviations).epistemic,
    }


@torch.no_grad()
def judged(model: Ensemble, data: Transitions) -> tuple[Tensor, Tensor]:
    """What the elites make of transitions as they really were.

    Returns:
        What the outcome networks give, ``[elites, N, 2]``, and the logits of the endings that the
        model says, ``[elites, N]``: the networks' own, or its healthy range's.
    """
    s, following = model.normalised(data.observation), model.normalised(data.following)
    judging = torch.cat([s, model.embed(data.action), following], dim=1)
    outcomes = model.outcome.every(judging, model.sizes.elites)
    return outcomes, model.ending(outcomes, following)


@torch.inference_mode()
def endings_foretold(model: Ensemble, data: Transitions) -> Tensor:
    """Probability of ending ``[elites, N]`` that dreams give each transition, at a next state that
    each elite draws, as dreams do: at the average one, a boundary that only the noise crosses would
    never be crossed."""
    s, elites = model.normalised(data.observation), model.sizes.elites
    acted = torch.cat([s, model.embed(data.action)], dim=1)
    means, deviations = model.spread(model.dynamics.every(acted, elites))
    noise = torch.randn(means.shape, generator=torch.Generator().manual_seed(0))
    following = model.moved(s, means + deviations * noise)
    outcome = model.outcome(torch.cat([acted.expand(elites, -1, -1), following], dim=-1))
    return torch.sigmoid(model.ending(outcome, following))
