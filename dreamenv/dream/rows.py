"""Row counts at which a row's result does not depend on its neighbours.

Matrix products take other code paths at other row counts (one row, a remainder of the kernel's
tile), and so round otherwise. Batches are therefore padded to a multiple of the least count that
a self-test finds stable; a batch that is not, even so, is run in tiles of a size that is.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

Batch = dict[str, Tensor]
"""Tensors by name, each ``[rows, ...]``."""
RowFunction = Callable[[Batch], Batch]
"""Maps each row by itself, as far as rounding lets it."""

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""Row counts tried, in order, for one that makes rows independent."""
TIMES = (64, 32, 16, 13, 8, 5, 3, 2, 1)
"""Batches tried are so many times as long; long ones first, which fail at once if any does."""
EFFORT = 256
"""Rows compared at each length: some operations round otherwise for one number in a hundred."""


@dataclass(frozen=True)
class RowPlan:
    """How a batch is laid out, so that its rows do not depend on one another."""

    multiple: int = 1
    """Batches are padded to a multiple of this."""
    tile: int | None = None
    """If given, batches are run in pieces of exactly so many rows, a multiple of ``multiple``."""
    stable: bool = True
    """Whether a self-test found rows independent; False if none was made as well."""

    def padded(self, rows: int) -> int:
        """Length of a batch that has to hold ``rows``."""
        unit = self.tile or self.multiple
        return -(-rows // unit) * unit

    def run(self, function: RowFunction, batch: Batch) -> Batch:
        """``function`` of a padded batch."""
        rows = len(next(iter(batch.values())))
        if self.tile is None or rows == self.tile:
            return function(batch)
        pieces = [
            # Copies, since code paths can depend on where in memory a matrix begins as well.
            function(
                {name: rows[start : start + self.tile].clone() for name, rows in batch.items()}
            )
            for start in range(0, rows, self.tile)
        ]
        return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}


_searched: dict[Hashable, tuple[RowPlan, int]] = {}
"""By what decides it: the plan for any batch, and the longest batch that was found stable."""
_verified: set[Hashable] = set()
"""What decides it and a length that was found stable."""


def plan_rows(
    function: RowFunction,
    pool: Batch,
    rows: int,
    kind: Hashable,
    *,
    effort: int = EFFORT,
) -> RowPlan:
    """The least padding with which each row's result is bitwise the same in any batch.

    Args:
        function: what is run on the batches.
        pool: distinct rows to try it on, a multiple of 64.
        rows: length of the batch that is wanted; it is tried as well.
        kind: what the answer depends on, beside the number of threads: model sizes, device,
            compile mode. The search is done once a process for each.
        effort: rows compared at each length; half of it bounds the lengths.

    Returns:
        The plan; ``stable`` is False if no padding helps.
    """
    key = (kind, torch.get_num_threads())
    if key not in _searched:
        plan, lengths = _search(function, pool, effort)
        _searched[key] = plan, lengths[0]
        _verified.update((key, length) for length in lengths)
    plan, longest = _searched[key]
    length = plan.padded(rows)
    if not plan.stable or plan.tile is not None or (key, length) in _verified:
        return plan
    if not _agrees(function, pool, _in_tiles(function, pool, plan.multiple), length, effort):
        return RowPlan(plan.multiple, tile=longest)
    _verified.add((key, length))
    return plan


def _search(function: RowFunction, pool: Batch, effort: int) -> tuple[RowPlan, list[int]]:
    """A plan, and lengths at which it was tried, the longest first."""
    for multiple in MULTIPLES:
        reference = _in_tiles(function, pool, multiple)
        lengths = [multiple * n for n in TIMES if n == 1 or multiple * n <= effort // 2]
        if all(_agrees(function, pool, reference, length, effort) for length in lengths):
            return RowPlan(multiple), lengths
    # No padding helps where every length takes a path of its own. One fixed length still may.
    longest = MULTIPLES[-1]
    if _agrees(function, pool, _in_tiles(function, pool, longest), longest, effort):
        return RowPlan(longest, tile=longest), [longest]
    return RowPlan(stable=False), [1]


def _in_tiles(function: RowFunction, pool: Batch, length: int) -> Batch:
    """What each of the pool's rows gives in a batch of this length."""
    return RowPlan(length, tile=length).run(function, pool)


def _agrees(function: RowFunction, pool: Batch, reference: Batch, length: int, effort: int) -> bool:
    """Whether rows drawn from the pool give the reference's bits, wherever they stand."""
    generator = torch.Generator().manual_seed(length)
    some = next(iter(pool.values()))
    for _ in range(max(2, effort // length)):
        at = torch.randint(len(some), (length,), generator=generator).to(some.device)
        found = function({name: rows[at] for name, rows in pool.items()})
        if not all(_same_bits(rows, reference[name][at]) for name, rows in found.items()):
            return False
    return True


def _same_bits(a: Tensor, b: Tensor) -> bool:
    # Clones: one row counts as contiguous whatever its strides, and is not to be had as bytes then.
    one, other = (t.clone(memory_format=torch.contiguous_format) for t in (a, b))
    return torch.equal(one.view(torch.uint8), other.view(torch.uint8))


def fingerprint(plan: RowPlan, device: torch.device, compiled: bool) -> str:
    """What decides the bits of a dream: equal fingerprints, equal trajectories."""
    if device.type == "cuda":
        chip = f"{torch.cuda.get_device_name(device)}, cuda {torch.version.cuda}"
    else:
        chip = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"
    rows = f"rows in {plan.multiple}s" + ("" if plan.stable else ", not independent")
    mode = "compiled" if compiled else "eager"
    return f"{chip}; torch {torch.__version__}; {torch.get_num_threads()} threads; {mode}; {rows}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
