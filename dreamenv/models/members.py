"""Several small networks of one shape, computed as one batched product a layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP_ROWS = 16
"""Rows a member is given are a multiple of this: shorter products round otherwise."""
OUTPUT_COLUMNS = 8
"""Outputs are padded to a multiple of this: some narrow products (six columns, as of three numbers'
mean and variance) round otherwise for every other number of rows."""
VECTOR = 32
"""Numbers that torch's SiLU takes at once, or a multiple: what is left over rounds otherwise."""
GRAIN = 32_768
"""Numbers that torch gives a thread at least, in equal shares (``at::parallel_for``)."""


class Seats(NamedTuple):
    """Where each lane sits once lanes are grouped by the member they follow."""

    slot: Tensor
    """int64 ``[lanes]``: group times ``rows``, plus place within it."""
    groups: int
    rows: int
    """Of each group."""


def seats(member: Tensor, groups: int) -> Seats:
    """Group lanes by member, int64 ``[lanes]`` below ``groups``.

    >>> seats(torch.tensor([1, 0, 1]), 2)
    Seats(slot=tensor([16,  0, 17]), groups=2, rows=16)
    """
    order = torch.argsort(member, stable=True)
    counts = torch.bincount(member, minlength=groups)
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(member)
    rank[order] = torch.arange(len(member), device=member.device) - first[member[order]]
    rows = -(-int(counts.max()) // GROUP_ROWS) * GROUP_ROWS
    return Seats(member * rows + rank, groups, rows)


class Members(nn.Module):
    """Multi-layer perceptrons with SiLU between layers.

    Args:
        members: how many.
        widths: of the input, each hidden layer, and the output.
    """

    def __init__(self, members: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.outputs = widths[-1]
        padded = -(-self.outputs // OUTPUT_COLUMNS) * OUTPUT_COLUMNS
        shapes = list(pairwise([*widths[:-1], padded]))
        self.weights = nn.ParameterList(torch.empty(members, i, o) for i, o in shapes)
        self.biases = nn.ParameterList(torch.zeros(members, 1, o) for _, o in shapes)
        for weight in self.weights:
            # Twice what Chua et al. 2018 begin with, at which SiLUs fade from layer to layer: a
            # sixth of the error on Pendulum after 1,000 steps.
            deviation = weight.shape[1] ** -0.5
            nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)

    def forward(self, inputs: Tensor) -> Tensor:
        """Each of the first so many members on rows of its own: ``[members, rows, in]`` to
        ``[members, rows, out]``."""
        count, last = len(inputs), len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = torch.baddbmm(bias[:count], inputs, weight[:count])
            if i < last:
                inputs = _silu(inputs)
        return inputs[..., : self.outputs]

    def every(self, inputs: Tensor, count: int) -> Tensor:
        """The first ``count`` members on the same rows ``[rows, in]``: ``[count, rows, out]``."""
        return self.forward(inputs.expand(count, *inputs.shape))

    def own(self, inputs: Tensor, seated: Seats) -> Tensor:
        """Each row through the one member it follows: ``[rows, in]`` to ``[rows, out]``."""
        grouped = inputs.new_zeros(seated.groups * seated.rows, inputs.shape[1])
        grouped.index_copy_(0, seated.slot, inputs)
        found = self.forward(grouped.view(seated.groups, seated.rows, -1))
        return found.view(len(grouped), -1).index_select(0, seated.slot)


def _silu(inputs: Tensor) -> Tensor:
    """SiLU of numbers that nobody else needs, each rounded the same wherever it stands, so that a
    lane does not depend on its neighbours. (x / (1 + e⁻ˣ) in torch would do, at nearly four times
    the cost.)"""
    if inputs.requires_grad or inputs.device.type != "cpu" or torch.compiler.is_compiling():
        return F.silu(inputs)
    flat = inputs.view(-1)
    even = shared_evenly(len(flat), torch.get_num_threads())
    if even == len(flat):
        return F.silu(inputs, inplace=True)
    shared, rest = flat.split([even, len(flat) - even])
    F.silu(shared, inplace=True)
    rest.copy_(F.silu(F.pad(rest, (0, -len(rest) % VECTOR)))[: len(rest)])
    return inputs


def shared_evenly(count: int, threads: int) -> int:
    """The most of ``count`` numbers of which each thread of torch takes whole vectors.

    >>> shared_evenly(100, 2), shared_evenly(70_000, 1), shared_evenly(70_000, 3)
    (96, 69984, 69984)
    """
    even = count - count % VECTOR
    while (shares := min(threads, -(-even // GRAIN))) > 1 and even % (VECTOR * shares):
        even -= even % (VECTOR * shares)  # of which there may be fewer shares
    return even
