"""Seeds: from what a Gymnasium user gives to one 63-bit number a lane."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

SEED_LIMIT = 2**63
"""Lane seeds are below this, so that they fit a signed 64-bit integer."""


def check_seed(seed: Any) -> int:
    """A seed as a Python integer.

    Raises:
        ValueError: not an integer (a bool is none), or below 0.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0 or isinstance(seed, bool | np.bool_):
        raise ValueError(f"seed is {seed!r}; expected an integer of at least 0, or None.")
    return number


def lane_seed(seed: int) -> int:
    """The lane seed for a seed of any size: itself below 2**63, else hashed to below that.

    Gymnasium draws 128-bit seeds from the operating system; ``reset(seed=env.np_random_seed)``
    must take them.
    """
    if seed < SEED_LIMIT:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]) % SEED_LIMIT


def lane_seeds(seed: int | Sequence[int | None] | None, num_lanes: int) -> list[int | None]:
    """One seed a lane: ``seed + i`` for lane i, or a sequence's own entries, or None for all.

    Raises:
        ValueError: no integer, below 0, or a sequence of the wrong length.
    """
    if seed is None:
        return [None] * num_lanes
    if isinstance(seed, Sequence | np.ndarray):
        if len(seed) != num_lanes:
            raise ValueError(f"got {len(seed)} seeds; expected one for each of {num_lanes} lanes.")
        return [None if one is None else lane_seed(check_seed(one)) for one in seed]
    base = check_seed(seed)
    return [lane_seed(base + lane) for lane in range(num_lanes)]


def first_seed(env: gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any]) -> int:
    """The seed of a first reset that was given none: ``env.np_random_seed``.

    Gymnasium draws it from the operating system, and ``reset(seed=env.np_random_seed)`` repeats
    the run. A generator that the user set has no known seed: one is drawn from it.
    """
    seed = env.np_random_seed
    if seed is None or seed < 0:
        return int(env.np_random.integers(SEED_LIMIT))
    return seed
