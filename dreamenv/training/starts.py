"""The bank of start states: real moments, filtered through the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamenv.models.mdnrnn import MDNRNN
from dreamenv.training.mdnrnn import read
from dreamenv.training.sequences import RealSequence


def start_bank(
    model: MDNRNN, sequences: Sequence[RealSequence], *, firsts: int, others: int, seed: int
) -> dict[str, Tensor]:
    """Up to ``firsts`` beginnings of episodes and ``others`` moments drawn evenly from the rest.

    Returns:
        ``z`` ``[M, latent]``, ``h`` and ``c`` ``[M, hidden]``, float16; ``first`` uint8 ``[M]``.
    """
    generator = torch.Generator().manual_seed(seed)
    begin = torch.randperm(len(sequences), generator=generator)[:firsts].tolist()
    lengths = torch.tensor([float(len(s) - 1) for s in sequences]).clamp_min(0)
    share = lengths / lengths.sum().clamp_min(1.0)
    wanted = (share * others).floor().long()
    wanted += torch.rand(len(sequences), generator=generator) < share * others - wanted
    rows: list[tuple[Tensor, Tensor, Tensor, int]] = []
    for i, reading in read(model, sequences):
        moments = [0] if i in begin else []
        if len(sequences[i]) > 1:
            # The last state is left out: a dream that starts at an ending is over at once.
            drawn = torch.randperm(len(sequences[i]) - 1, generator=generator)[: int(wanted[i])]
            moments += (drawn + 1).tolist()
        rows += [(reading.z[t], reading.h[t], reading.c[t], int(t == 0)) for t in moments]
    z, h, c, first = zip(*rows, strict=True)
    return {
        "z": torch.stack(z).to(torch.float16),
        "h": torch.stack(h).to(torch.float16),
        "c": torch.stack(c).to(torch.float16),
        "first": torch.tensor(first, dtype=torch.uint8),
    }
