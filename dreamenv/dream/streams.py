"""Counter-based random numbers: each is a pure function of (seed, episode, step, purpose, index).

Philox4x32-10 (Salmon et al. 2011, *Parallel random numbers: as easy as 1, 2, 3*, §3.3): the key is
the lane's seed, the counter says which number is meant. Nothing is drawn in sequence, so a lane's
numbers know nothing of its neighbours, and adding a purpose disturbs no other.
"""

from __future__ import annotations

import math
from enum import IntEnum

import torch
from torch import Tensor
from torch.nn import functional as F

SEED_LIMIT = 2**63
"""Seeds are at least 0 and below this."""
CLOCK_LIMIT = 2**32
"""Episodes and steps are at least 0 and below this: one word of the counter each."""

WORD = 2**32 - 1
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

ALIGNED = 64
"""Elements that any CPU's vector loop takes whole; a remainder is computed by scalar code, which
may round log, cos and sin otherwise."""
SERIAL = 32_768
"""Elements that ATen never splits between threads (its grain size)."""


class Purpose(IntEnum):
    """What a number is for: the last word of the counter."""

    UNIFORM = 0
    """The model's uniforms at a step."""
    NORMAL = 1
    """The model's normals at a step."""
    TERMINATION = 2
    """Whether a step ends the episode."""
    START = 3
    """Which start state an episode begins with."""
    TEMPERATURE = 4
    """An episode's temperature, where that is a range."""
    BEGIN = 5
    """The model's uniforms as an episode begins (a dropout mask, say)."""


def philox4x32(counters: Tensor, key: Tensor) -> Tensor:
    """Encrypt counters in place.

    Args:
        counters: int64 ``[4, lanes, count]`` holding 32-bit numbers: words 0, 2, 1 and 3.
        key: both words of each lane's key, int64 ``[2, lanes]``.

    Returns:
        ``counters``, words in the same order.
    """
    device = counters.device
    first, second, shift, word = torch.tensor([*MULTIPLIERS, 32, WORD], device=device).unbind()
    bumps = torch.tensor(WEYL, device=device) * torch.arange(ROUNDS, device=device).unsqueeze(1)
    keys = (key + bumps[:, :, None]).unsqueeze(-1)  # bits beyond 32 are masked off below
    even, odd = counters[:2], counters[2:]
    product = torch.empty_like(even)
    for round_key in keys.unbind():
        # Word 0 is made from word 2's product, and word 2 from word 0's. Products may overflow
        # int64; the bits are right all the same, and the mask drops the sign's copies.
        torch.mul(even[0], first, out=product[1])
        torch.mul(even[1], second, out=product[0])
        torch.bitwise_right_shift(product, shift, out=even)
        even ^= odd
        even ^= round_key
        even &= word
        odd, product = product, odd
    odd &= word  # the rounds are even in number: this is the counters' own memory again
    return counters


def random_words(
    seed: Tensor, episode: Tensor, step: Tensor, block: Tensor, purpose: Tensor | int
) -> Tensor:
    """Random 32-bit words, four to a block.

    Args:
        seed: int64 ``[lanes]``, in [0, 2**63).
        episode: int64 ``[lanes]``, in [0, 2**32).
        step: int64 ``[lanes, count]`` (or broadcast to it), in [0, 2**32).
        block: int64 ``[count]``, in [0, 2**32).
        purpose: a :class:`Purpose`, or int64 ``[count]`` of them.

    Returns:
        int64 ``[4, lanes, count]`` in [0, 2**32): words 0, 2, 1 and 3 of each block.
    """
    counters = torch.empty((4, len(seed), len(block)), dtype=torch.int64, device=seed.device)
    counters[0], counters[1], counters[2], counters[3] = block, episode[:, None], step, purpose
    return philox4x32(counters, torch.stack([seed & WORD, seed >> 32]))


def blocks(count: int) -> int:
    """Blocks that hold numbers 0 … count - 1 of a purpose: see :func:`in_order`."""
    return 8 * (count // 32) + min(count % 32, 8)


def in_order(words: Tensor, count: int) -> Tensor:
    """Numbers 0 … count - 1, in order, of what was made from their blocks' words.

    Number 32g + 8w + j is made from word w (in the order of :func:`random_words`) of block 8g + j:
    eight neighbours lie together in memory, which makes this copy cheap.

    Args:
        words: ``[4, ..., blocks(count)]``.

    Returns:
        ``[..., count]``, contiguous.
    """
    words = F.pad(words, (0, -words.shape[-1] % 8)) if words.shape[-1] % 8 else words
    groups = torch.unflatten(words, -1, (-1, 8)).movedim(0, -2)  # [..., g, w, j]
    return groups.flatten(-3)[..., :count].contiguous()


def uniforms(words: Tensor) -> Tensor:
    """float32 strictly in (0, 1): the upper 23 bits and a half, each exactly representable."""
    return (words >> 9).to(torch.float32).add_(0.5).mul_(2.0**-23)


def normals(words: Tensor) -> Tensor:
    """Standard normals, float32, by the transform of Box & Muller (1958).

    Args:
        words: int64 ``[4, ...]``: two radii, two angles.

    Returns:
        float32 ``[4, ...]``, independent.
    """
    radii, angles = uniforms(words).view(2, -1)
    count = len(radii)
    result = torch.empty((2, count), device=words.device)
    for start in range(0, count, SERIAL):
        piece = slice(start, start + SERIAL)
        radius, angle = radii[piece], angles[piece] * (2.0 * math.pi)
        # Whole vectors in one thread: no number's bits depend on where in a batch it stands.
        pad = -len(radius) % ALIGNED
        if pad:
            radius, angle = F.pad(radius, (0, pad), value=0.5), F.pad(angle, (0, pad))
        radius = torch.log(radius).mul_(-2.0).sqrt_()
        cos, sin = torch.cos(angle).mul_(radius), torch.sin(angle).mul_(radius)
        result[0, piece], result[1, piece] = cos[: count - start], sin[: count - start]
    return result.view(words.shape)
