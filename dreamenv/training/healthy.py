"""Find the range of states in which episodes go on, from those that did and those that ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamenv.models.ensemble import Ensemble
from dreamenv.models.healthy import HealthyRange
from dreamenv.training.ensemble import judged
from dreamenv.training.transitions import Transitions

ACCIDENT = 0.05
"""Sides that may seem to explain as many endings by accident, at most, were all states alike."""
UNEXPLAINED = 0.1
"""Most of the endings that a range may leave unexplained."""
EDGE_LOGIT = 6.0
"""Of an ending, at the first ended state beyond a bound; its negative at the last that went on."""


@dataclass(frozen=True)
class Side:
    """One bound of a healthy range."""

    number: int
    """Of the state."""
    sign: int
    """1 for an upper bound, -1 for a lower one."""
    last: float
    """Farthest out that an episode went on …"""
    first: float
    """… and the least far beyond it that one ended."""

    @property
    def bound(self) -> float:
        """Half-way."""
        return 0.5 * (self.last + self.first)

    def shown(self, scale: float, mean: float) -> Side:
        """In the real env's units, given what this number is normalised by."""
        return replace(self, last=self.last * scale + mean, first=self.first * scale + mean)


def find_sides(states: Tensor, ended: Tensor) -> tuple[list[Side], int]:
    """Bounds that no state passed from which an episode went on, and that endings lie beyond.

    The greedy cover of a set covering machine (Marchand & Shawe-Taylor 2002) over single numbers:
    whichever side explains the most endings yet unexplained comes next, of equals the one that
    they lie farthest beyond, until what is left could lie beyond some side by accident. That is
    reckoned as if states that ended and states that did not were alike: all of k would lie beyond
    all of N with probability k! N! / (N + k)!, for each of two sides of each number.

    Args:
        states: ``[N, n]``, that decisions led to.
        ended: bool ``[N]``, whether the episode ended there.

    Returns:
        The bounds, and how many endings lie beyond none of them.
    """
    went_on, over = states[~ended].double(), states[ended].double()
    if len(over) == 0 or len(went_on) == 0:
        return [], len(over)
    unexplained = torch.ones(len(over), dtype=torch.bool, device=states.device)
    numbers = states.shape[1]
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64, device=states.device)[:, None]
    last = torch.stack([went_on.amax(0), -went_on.amin(0)]).flatten()  # of each side, outwards
    outwards = (signs[None] * over[:, None]).flatten(1)  # [ending, side]
    beyond = outwards > last
    spread = went_on.std(0, correction=0).clamp_min(torch.finfo(torch.float32).tiny).repeat(2)
    excess = ((outwards - last) / spread).clamp(0.0, 1e6)
    chosen: list[tuple[int, Tensor]] = []  # each with the endings that it was chosen for
    while bool(unexplained.any()):
        counts = beyond[unexplained].sum(0)
        most = int(counts.max())
        k = min(most, 20)  # beyond doubt, where the number of choices would be a long one
        if k == 0 or math.comb(len(went_on) + k, k) < 2 * numbers / ACCIDENT:
            break
        side = int(excess[unexplained].sum(0).masked_fill(counts < most, -1.0).argmax())
        chosen.append((side, beyond[:, side] & unexplained))
        unexplained &= ~beyond[:, side]
    sides: list[Side] = []
    alone = beyond[:, [side for side, _ in chosen]].sum(1) == 1
    for side, explained in chosen:
        # An ending that another side explains as well may not have come to this one's bound.
        only = beyond[:, side] & alone
        first = float(outwards[only if bool(only.any()) else explained, side].min())
        sign = 1 if side < numbers else -1
        sides.append(Side(side % numbers, sign, sign * float(last[side]), sign * first))
    return sides, int(unexplained.sum())


@torch.no_grad()
def with_healthy_range(
    model: Ensemble, data: Transitions, held_out: Transitions
) -> tuple[Ensemble, list[Side]]:
    """The model with a healthy range to end its episodes by, where the data show one and held-out
    decisions are likelier under it than under the outcome networks; else the model as it is.

    Returns:
        The model and its sides, in the real env's units; none if its networks say.
    """
    sides, unexplained = find_sides(model.normalised(data.following), data.terminated > 0.5)
    if not sides or unexplained > UNEXPLAINED * float(data.terminated.sum()):
        return model, []
    healthy = _range_of(sides, model)
    if _loss(healthy(model.normalised(held_out.following)), held_out) >= _loss(
        judged(model, held_out)[1], held_out
    ):
        return model, []
    ranged = Ensemble(replace(model.sizes, healthy_range=1)).to(model.device)
    own = {f"healthy.{name}": tensor for name, tensor in healthy.state_dict().items()}
    ranged.load_state_dict(model.state_dict() | own)
    units = model.scale.tolist(), model.mean.tolist()
    real = [side.shown(*(unit[side.number] for unit in units)) for side in sides]
    return ranged.train(model.training), real


def _range_of(sides: list[Side], model: Ensemble) -> HealthyRange:
    bound = model.sizes.latent_bound
    healthy = HealthyRange(model.sizes.observation, bound).to(model.device)
    # Between float32 numbers there is nothing to tell apart.
    least = torch.finfo(torch.float32).eps * bound
    for side in sides:
        edge, slope = (
            (healthy.high, healthy.high_slope)
            if side.sign > 0
            else (healthy.low, healthy.low_slope)
        )
        edge[side.number] = side.bound
        slope[side.number] = 2 * EDGE_LOGIT / max(abs(side.first - side.last), least)
    return healthy


def _loss(logits: Tensor, data: Transitions) -> float:
    """Cross entropy of logits ``[..., N]`` of real endings."""
    return float(F.binary_cross_entropy_with_logits(logits, data.terminated.expand_as(logits)))
