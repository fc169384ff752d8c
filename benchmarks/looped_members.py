"""The step of an ensemble as it is first written: one network after the other."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from dreamenv.models.ensemble import Ensemble
from dreamenv.models.members import Members
from dreamenv.models.world_model import Imagined, Noise, State

Rows = Literal["all", "own"]


class Looped:
    """Steps as of :class:`~dreamenv.models.ensemble.Ensemble`, under TS1, in a loop over elites.

    Args:
        rows: ``"all"``: each member computes all lanes, and each lane takes what is its own;
            ``"own"``: each computes the lanes that follow it, which says nothing of how unsure
            they are.
    """

    def __init__(self, model: Ensemble, rows: Rows) -> None:
        self.model, self.rows = model, rows
        self._dynamics = networks(model.dynamics, model.sizes.elites)
        self._outcome = networks(model.outcome, model.sizes.elites)

    def step(self, state: State, action: Tensor, temperature: Tensor, noise: Noise) -> Imagined:
        model, s, elites = self.model, state["s"], self.model.sizes.elites
        acted = torch.cat([s, model.embed(action)], dim=1)
        member = (noise.uniform[:, 0] * elites).long().clamp_max(elites - 1)
        unsure = None
        if self.rows == "all":
            means, deviations = model.spread(torch.stack([net(acted) for net in self._dynamics]))
            if model.tells:
                unsure = means.var(0, correction=0).mean(-1).sqrt()
            lane = torch.arange(len(s))
            change, deviation = means[member, lane], deviations[member, lane]
        else:
            change, deviation = model.spread(_own(self._dynamics, acted, member))
        drawn = change + deviation * temperature.sqrt().unsqueeze(1) * noise.normal
        following = model.moved(s, drawn)
        judging = torch.cat([acted, following], dim=1)
        if self.rows == "all":
            outcome = torch.stack([net(judging) for net in self._outcome])[member, lane]
        else:
            outcome = _own(self._outcome, judging, member)
        return Imagined(
            state={"s": following, "member": state["member"]},
            reward=model.reward(outcome),
            termination_logit=model.ending(outcome, following),
            uncertainty=unsure,
        )


def networks(members: Members, count: int) -> list[nn.Sequential]:
    """The first so many members, each an ordinary network."""
    found = []
    for member in range(count):
        layers: list[nn.Module] = []
        last = len(members.weights) - 1
        for at, (weight, bias) in enumerate(zip(members.weights, members.biases, strict=True)):
            outputs = members.outputs if at == last else weight.shape[2]
            linear = nn.Linear(weight.shape[1], outputs, device=weight.device)
            with torch.no_grad():
                linear.weight.copy_(weight[member, :, :outputs].T)
                linear.bias.copy_(bias[member, 0, :outputs])
            layers += [linear] if at == last else [linear, nn.SiLU()]
        found.append(nn.Sequential(*layers).requires_grad_(False))
    return found


def _own(nets: list[nn.Sequential], inputs: Tensor, member: Tensor) -> Tensor:
    outputs = inputs.new_empty(len(inputs), nets[0][-1].out_features)
    for number, net in enumerate(nets):
        lanes = torch.nonzero(member == number)[:, 0]
        outputs[lanes] = net(inputs[lanes])
    return outputs
