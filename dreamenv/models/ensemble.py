"""A bootstrapped ensemble of probabilistic networks (Chua et al. 2018, PETS; Janner et al. 2019,
MBPO), for envs whose observation is a vector of numbers.

Each member predicts a Gaussian of the change of state; reward and termination are read from the
state, the action *and* the next state that was drawn, so that they judge the future that was
dreamed and not its average. Where the data show that episodes end by a range of states, it says
alone (:mod:`dreamenv.models.healthy`). Everything within is in normalised units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamenv.config import VECTOR_BOUND
from dreamenv.models.healthy import HealthyRange
from dreamenv.models.members import Members, seats
from dreamenv.models.propagation import PROPAGATIONS, Propagation
from dreamenv.models.world_model import Imagined, Noise, NoiseShape, ObservationKind, State

LEAST_SCALE = 2.0**-126
"""Of a unit: the least normal float32. What is measured in less, or in 0, may be no number."""
MOST_LOG_VARIANCE = 100.0
"""Of its learned bounds: beyond 177 a deviation is infinite, and no number at temperature 0."""
BOUNDS = {
    "scale": (LEAST_SCALE, inf),
    "change_scale": (LEAST_SCALE, inf),
    "least_log_variance": (-inf, MOST_LOG_VARIANCE),
    "most_log_variance": (-inf, MOST_LOG_VARIANCE),
}
"""Least and most of a package's weights that steps divide by, or raise e to, by name."""


@dataclass(frozen=True)
class EnsembleSizes:
    """Everything that ``sizes`` of a package's config holds for this family."""

    observation: int
    action: int
    """Length of the action vector, or number of discrete actions."""
    discrete: int = 0
    """1 if actions are discrete (they enter as one-hot vectors)."""
    members: int = 7
    elites: int = 5
    """Members that dream: the first, which are those with the least error on held-out data."""
    hidden: int = 64
    layers: int = 3
    """Hidden layers of the dynamics."""
    outcome: int = 64
    """Width of the two hidden layers that reward and termination are read from."""
    healthy_range: int = 0
    """1 if episodes end where the state leaves a learned range; else the outcome networks say."""
    propagation: int = 0
    """Place in :data:`PROPAGATIONS` of what dreams follow unless told otherwise."""
    latent_bound: float = 20.0

    def __post_init__(self) -> None:
        most = dict(
            observation=4096, action=4096, members=64, elites=64, hidden=4096, layers=16,
            outcome=4096,
        )  # fmt: skip
        for name, bound in most.items():
            value = getattr(self, name)
            if not _whole(value) or not 1 <= value <= bound:
                raise ValueError(f"{name}: expected a whole number 1 to {bound}, got {value}")
        if self.elites > self.members:
            raise ValueError(
                f"elites: expected at most the {self.members} members, got {self.elites}"
            )
        for name in ("discrete", "healthy_range"):
            flag = getattr(self, name)
            if not _whole(flag) or flag not in (0, 1):
                raise ValueError(f"{name}: expected 0 or 1, got {flag}")
        if not _whole(self.propagation) or self.propagation not in range(len(PROPAGATIONS)):
            raise ValueError(
                f"propagation: expected 0 to {len(PROPAGATIONS) - 1}, got {self.propagation}"
            )
        if not 0.0 < self.latent_bound <= 1000.0:
            raise ValueError(f"latent_bound: expected 0 < bound ≤ 1000, got {self.latent_bound}")


class Uncertainty(NamedTuple):
    """How unsure an ensemble is of a step, float32 ``[lanes]`` each, in units of the typical
    (standard deviation of the) change of a state's numbers in one step."""

    epistemic: Tensor
    """Disagreement: root mean square, over the numbers, of the elites' standard deviation."""
    aleatoric: Tensor
    """Predicted noise: root mean square, over numbers and elites, of the standard deviation."""

    @classmethod
    def of(cls, means: Tensor, deviations: Tensor) -> Uncertainty:
        """Told apart in what the elites predict, ``[elites, lanes, observation]`` each."""
        return cls(_disagreement(means), deviations.square().mean((0, -1)).sqrt())


class Ensemble(nn.Module):
    """Meets :class:`dreamenv.models.world_model.WorldModel`.

    State: ``s`` float32 ``[lanes, observation]``, normalised; ``member`` int64 ``[lanes]``, the
    elite that ``"tsinf"`` follows; -1 in a state that follows real data, from which the first
    dreamed step draws it.

    Attributes:
        propagation: of this model's dreams; see :data:`PROPAGATIONS`.
        tells: whether a step computes all elites and says how unsure they are. Without, a lane
            costs only the member that it follows.
    """

    mean: Tensor
    scale: Tensor
    change_mean: Tensor
    change_scale: Tensor
    reward_range: Tensor
    reward_scale: Tensor

    def __init__(self, sizes: EnsembleSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.latent = self.features = n = sizes.observation
        self.noise = NoiseShape(uniform=1, normal=n, start_uniform=1)
        self.propagation: Propagation = PROPAGATIONS[sizes.propagation]
        self.tells = True
        wide = [sizes.hidden] * sizes.layers
        self.dynamics = Members(sizes.members, [n + sizes.action, *wide, 2 * n])
        judging = [2 * n + sizes.action, sizes.outcome, sizes.outcome, 2]
        self.outcome = Members(sizes.members, judging)
        self.healthy = HealthyRange(n, sizes.latent_bound) if sizes.healthy_range else None
        self.least_log_variance = nn.Parameter(torch.empty(n))
        self.most_log_variance = nn.Parameter(torch.empty(n))
        self.reset_log_variance_bounds()
        # Observation = s · scale + mean; change of s = change · change_scale + change_mean.
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.register_buffer("change_mean", torch.zeros(n))
        self.register_buffer("change_scale", torch.ones(n))
        self.register_buffer("reward_range", torch.tensor([-1.0, 1.0]))
        self.register_buffer("reward_scale", torch.tensor([0.0, 1.0]))

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def begin(self, start: Mapping[str, Tensor], noise: Tensor | None = None) -> State:
        if "observation" in start:
            s = self.normalised(start["observation"])
        else:
            s = start["s"].to(torch.float32)
        if noise is None:
            return {"s": s, "member": torch.full_like(s[:, 0], -1.0).long()}
        return {"s": s, "member": self._drawn(noise[:, 0])}

    def posterior(
        self, state: State, action: Tensor, observation: Tensor, noise: Noise | None = None
    ) -> State:
        return {"s": self.normalised(observation), "member": state["member"]}

    def step(self, state: State, action: Tensor, temperature: Tensor, noise: Noise) -> Imagined:
        bound, elites = self.sizes.latent_bound, self.sizes.elites
        s = state["s"].clamp(-bound, bound)  # it may be a stranger's, of which sums overflow
        acted = torch.cat([s, self.embed(action)], dim=1)
        kept, member = self._followed(state["member"], noise.uniform[:, 0])
        average = self.propagation == "mean"
        # What a lane's own member alone is given depends on the data, which no compiled graph can.
        alone = None if average or torch.compiler.is_compiling() else seats(member, elites)
        unsure = None
        if self.tells or alone is None:
            means, deviations = self.spread(self.dynamics.every(acted, elites))
            unsure = _disagreement(means) if self.tells else None
            if average:
                change, deviation = means.mean(0), deviations.square().mean(0).sqrt()
            else:
                change, deviation = _of(means, member), _of(deviations, member)
        else:
            change, deviation = self.spread(self.dynamics.own(acted, alone))
        drawn = change + deviation * temperature.sqrt().unsqueeze(1) * noise.normal
        following = self.moved(s, drawn)
        judging = torch.cat([acted, following], dim=1)
        if alone is not None:
            outcome = self.outcome.own(judging, alone)
        else:
            outcomes = self.outcome.every(judging, elites)
            outcome = outcomes.mean(0) if average else _of(outcomes, member)
        return Imagined(
            state={"s": following, "member": kept},
            reward=self.reward(outcome),
            termination_logit=self.ending(outcome, following),
            uncertainty=unsure,
        )

    def observe(self, state: State, kind: ObservationKind) -> Tensor:
        if kind == "pixels":
            decoded = state["s"] * self.scale + self.mean
            return decoded.clamp(-VECTOR_BOUND, VECTOR_BOUND)
        return state["s"]

    def uncertainty(self, state: State, action: Tensor) -> Uncertainty:
        """How unsure the elites are of the step that this action leads to."""
        acted = torch.cat([state["s"], self.embed(action)], dim=1)
        return Uncertainty.of(*self.spread(self.dynamics.every(acted, self.sizes.elites)))

    def normalised(self, observation: Tensor) -> Tensor:
        """Observations in the real env's units as states, cut to the bound."""
        bound = self.sizes.latent_bound
        return ((observation - self.mean) / self.scale).clamp(-bound, bound)

    def moved(self, s: Tensor, change: Tensor) -> Tensor:
        """States that follow by changes, which are in units of their own."""
        bound = self.sizes.latent_bound
        return (s + change * self.change_scale + self.change_mean).clamp(-bound, bound)

    def embed(self, action: Tensor) -> Tensor:
        """Actions as the members read them: float32 ``[..., sizes.action]``."""
        if self.sizes.discrete:
            return F.one_hot(action.long(), self.sizes.action).to(torch.float32)
        return action

    def spread(self, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the change, ``[..., observation]`` each, of what the
        dynamics give (Chua et al. 2018, appendix A.1)."""
        mean, log_variance = predicted.chunk(2, dim=-1)
        return mean, torch.exp(0.5 * self.bounded(log_variance))

    def bounded(self, log_variance: Tensor) -> Tensor:
        """A log variance between its learned bounds (likewise)."""
        most, least = self.most_log_variance, self.least_log_variance
        log_variance = most - _softplus(most - log_variance)
        return least + _softplus(log_variance - least)

    @torch.no_grad()
    def reset_log_variance_bounds(self) -> None:
        """To what training begins with (Chua et al. 2018)."""
        self.least_log_variance.fill_(-10.0)
        self.most_log_variance.fill_(0.5)

    def reward(self, outcome: Tensor) -> Tensor:
        """Rewards ``[...]`` of what the outcome networks give, within the data's range."""
        offset, scale = self.reward_scale.unbind()
        low, high = self.reward_range.unbind()
        return (outcome[..., 0] * scale + offset).clamp(low, high)

    def ending(self, outcome: Tensor, following: Tensor) -> Tensor:
        """Logits ``[...]`` of the ending, of what the outcome networks give ``[..., 2]`` and the
        states ``[..., observation]`` that they judge."""
        if self.healthy is None:
            return outcome[..., 1]
        logits: Tensor = self.healthy(following)
        return logits.expand(outcome.shape[:-1])

    def _followed(self, kept: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The elite that each lane keeps, and the one it follows in this step, int64 ``[lanes]``.

        A state may be a stranger's: any number is some elite, or none drawn yet.
        """
        if self.propagation == "ts1":
            return kept, self._drawn(uniform)
        if self.propagation == "tsinf":
            kept = torch.where(kept < 0, self._drawn(uniform), kept)
            return kept, kept.clamp_max(self.sizes.elites - 1)
        return kept, torch.zeros_like(kept)

    def _drawn(self, uniform: Tensor) -> Tensor:
        """An elite for each number in (0, 1), all equally often."""
        # A product with a float32 just below 1 may round up.
        return (uniform * self.sizes.elites).long().clamp_max(self.sizes.elites - 1)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _disagreement(means: Tensor) -> Tensor:
    """Of ``[elites, lanes, numbers]``: see :attr:`Uncertainty.epistemic`."""
    # torch.var takes longer over so few members than their networks do.
    return (means - means.mean(0)).square().mean(0).mean(-1).sqrt()


def _softplus(x: Tensor) -> Tensor:
    """log(1 + eˣ). torch's own rounds otherwise at the end of a batch than in its middle, so that
    a lane would depend on its neighbours."""
    return x.clamp_min(0.0) + torch.log1p(torch.exp(-x.abs()))


def _of(rows: Tensor, member: Tensor) -> Tensor:
    """``[lanes, n]`` of ``[members, lanes, n]``: each lane's own."""
    at = member[None, :, None].expand(1, -1, rows.shape[-1])
    return rows.gather(0, at)[0]
