"""What a lane draws: at each step, and as an episode begins. Pure functions of its clock."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.streams import Purpose, blocks, in_order, normals, random_words, uniforms
from dreamenv.models.world_model import NoiseShape


@dataclass(frozen=True)
class StepDraw:
    """The random numbers of some steps."""

    uniform: Tensor
    """float32 ``[steps, lanes, NoiseShape.uniform]`` in (0, 1)."""
    normal: Tensor
    """float32 ``[steps, lanes, NoiseShape.normal]``."""
    termination: NDArray[np.float32]
    """``[steps, lanes]`` in (0, 1): whether a step ends the episode."""


@dataclass(frozen=True)
class EpisodeDraw:
    """The random numbers that an episode begins with."""

    start: NDArray[np.int64]
    """``[lanes]`` in [0, 2**32): which start state."""
    temperature: NDArray[np.float32]
    """``[lanes]`` in (0, 1): where in its range the temperature lies."""
    begin: Tensor
    """float32 ``[lanes, NoiseShape.start_uniform]`` in (0, 1), for the model."""


def draw_steps(
    shape: NoiseShape, seed: Tensor, episode: Tensor, first: Tensor, steps: int
) -> StepDraw:
    """Steps ``first`` … ``first + steps - 1`` of each lane.

    Args:
        shape: what the model wants at a step.
        seed: int64 ``[lanes]``, as are ``episode`` and ``first``.
        steps: how many, at least 1.
    """
    offset, block, purpose, counts = _columns(shape, steps, seed.device)
    words = random_words(seed, episode, first.unsqueeze(1) + offset, block, purpose)
    normal, uniform, termination = torch.split(words, counts, dim=-1)

    def by_step(values: Tensor, count: int) -> Tensor:
        if not count:
            return values.new_empty(steps, len(seed), 0)
        return in_order(torch.unflatten(values, -1, (steps, -1)).transpose(1, 2), count)

    return StepDraw(
        uniform=by_step(uniforms(uniform), shape.uniform),
        normal=by_step(normals(normal), shape.normal),
        termination=uniforms(termination[0]).T.cpu().numpy(),
    )


def draw_episodes(shape: NoiseShape, seed: Tensor, episode: Tensor) -> EpisodeDraw:
    """The beginnings of each lane's episode; arguments as of :func:`draw_steps`."""
    counts = [1, 1, blocks(shape.start_uniform)]
    purposes = [Purpose.START, Purpose.TEMPERATURE, Purpose.BEGIN]
    block = torch.cat([torch.arange(count) for count in counts]).to(seed.device)
    purpose = torch.tensor(purposes).repeat_interleave(torch.tensor(counts)).to(seed.device)
    words = random_words(seed, episode, torch.zeros_like(seed).unsqueeze(1), block, purpose)
    start, temperature, begin = torch.split(words, counts, dim=-1)
    return EpisodeDraw(
        start=start[0, :, 0].cpu().numpy(),
        temperature=uniforms(temperature[0, :, 0]).cpu().numpy(),
        begin=in_order(uniforms(begin), shape.start_uniform)
        if shape.start_uniform
        else torch.empty(len(seed), 0, device=seed.device),
    )


@cache
def _columns(
    shape: NoiseShape, steps: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Which number each column of a draw is: step offset, block, purpose; columns a purpose."""
    sizes = [blocks(shape.normal), blocks(shape.uniform), 1]
    purposes = [Purpose.NORMAL, Purpose.UNIFORM, Purpose.TERMINATION]
    offset = torch.cat([torch.arange(steps).repeat_interleave(size) for size in sizes])
    block = torch.cat([torch.arange(size).repeat(steps) for size in sizes])
    counts = [steps * size for size in sizes]
    purpose = torch.tensor(purposes).repeat_interleave(torch.tensor(counts))
    return offset.to(device), block.to(device), purpose.to(device), counts
