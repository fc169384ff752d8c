"""Pictures of vectors, for dreams that have no other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH = 192
"""Pixels a row of bars is wide."""
MOST = 240
"""Numbers that a picture shows; it leaves those after them out."""
GROUND, MIDDLE, ABOVE, BELOW = (24, 24, 28), (120, 120, 120), (86, 156, 214), (230, 145, 56)


def bars(vectors: NDArray[np.float32], bound: float) -> NDArray[np.uint8]:
    """Each number as a horizontal bar from the middle, the first on top: blue to the right above 0,
    orange to the left below.

    Lengths go as arcsinh, which is linear near 0 and logarithmic far from it, so that numbers of
    size 1 are seen beside a bound of 20; a bar of ``bound`` ends at the edge.

    Args:
        vectors: ``[lanes, n]`` in [-bound, bound].

    Returns:
        uint8 ``[lanes, min(n, 240) · row, 192, 3]``, whose rows are an even number of pixels, 2 to
        16, as many as fit in about 480.
    """
    shown = vectors[:, :MOST]
    row = _row(shown.shape[1])
    reach = np.arcsinh(shown) / np.arcsinh(bound) * (WIDTH / 2)
    # Distance of each column's middle from the picture's.
    x = np.arange(WIDTH) + 0.5 - WIDTH / 2
    covered = (np.abs(x) < np.abs(reach[..., None])) & (np.sign(x) == np.sign(reach[..., None]))
    colour = np.where(x > 0, 2, 3).astype(np.uint8)
    kind = np.where(covered, colour, np.where(np.abs(x) < 1.0, 1, 0).astype(np.uint8))
    kind = np.repeat(kind, row, axis=1)
    if row >= 4:  # a line between bars
        gap = kind[:, row - 1 :: row]
        kind[:, row - 1 :: row] = np.where(gap >= 2, 0, gap)
    return np.array([GROUND, MIDDLE, ABOVE, BELOW], np.uint8)[kind]


def bars_shape(size: int) -> tuple[int, int, int]:
    """Shape of one picture of ``size`` numbers."""
    count = min(size, MOST)
    return count * _row(count), WIDTH, 3


def _row(count: int) -> int:
    """Pixels that one of so many bars is high."""
    return 2 * min(8, MOST // count)
