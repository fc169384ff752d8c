"""Dreams of random packages, and what is drawn for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from dreamenv.dream import Dream
from dreamenv.packages import Package

from .random_package import CAR, SMALL, random_package

# The same examples each time, and no clock: nothing here may pass or fail by luck or by load.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

ANY_KNOBS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.3, 1.0, (0.5, 1.5)]),
        "termination": st.sampled_from(["sample", "threshold", "none"]),
        "termination_temperature": st.sampled_from([0.5, 2.0]),
        "horizon": st.integers(1, 9),
    },
)


@pytest.fixture(scope="session")
def small() -> Package:
    return random_package(SMALL)


@pytest.fixture(scope="session")
def car() -> Package:
    """The car's sizes and dropout, but for the VAE."""
    return random_package(CAR)


@pytest.fixture
def actions_of() -> Callable[[int, int], np.ndarray]:
    """The first so many actions of a lane, a function of its seed."""

    def actions(seed: int, count: int) -> np.ndarray:
        return np.random.default_rng(seed).uniform(-1, 1, (count, 3)).astype(np.float32)

    return actions


@pytest.fixture
def dream(small: Package) -> Dream:
    """Three lanes, begun under seeds 10, 11 and 12."""
    lanes = Dream(small, 3)
    lanes.reset(seeds=[10, 11, 12])
    return lanes
