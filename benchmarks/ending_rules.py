"""When real envs end episodes, written out from Gymnasium's source as functions of the observation
that a decision led to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CART_BOUND = 2.4
POLE_BOUND = 12 * 2 * np.pi / 360
PENDULUM_BOUND = 0.2
HOPPER_HEIGHT = 0.7
HOPPER_ANGLE = 0.2
HOPPER_STATE = 100.0
NEAR = 0.05
"""How close to 1 a margin is near the boundary."""

Margin = Callable[[NDArray[np.floating]], NDArray[np.float64]]


def cart_pole(observation: NDArray[np.floating]) -> NDArray[np.float64]:
    """|x| > 2.4 or |θ| > 12°, as margins ``[n]`` of observations ``[n, 4]``."""
    x, angle = np.abs(observation[:, 0]), np.abs(observation[:, 2])
    return np.maximum(x / CART_BOUND, angle / POLE_BOUND)


def inverted_pendulum(observation: NDArray[np.floating]) -> NDArray[np.float64]:
    """|θ| > 0.2, or anything that is no finite number."""
    margin = np.abs(observation[:, 1]) / PENDULUM_BOUND
    return np.where(np.isfinite(observation).all(1), margin, np.inf)


def hopper(observation: NDArray[np.floating]) -> NDArray[np.float64]:
    """Not 0.7 < z, not -0.2 < angle < 0.2, or not all the rest within ±100. Velocities are cut to
    ±10 as they are observed, so that this last rule, which sees them uncut, cannot be told there.
    """
    height = 2.0 - observation[:, 0] / HOPPER_HEIGHT
    angle = np.abs(observation[:, 1]) / HOPPER_ANGLE
    state = np.abs(observation[:, 1:]).max(1) / HOPPER_STATE
    margin = np.maximum(np.maximum(height, angle), state)
    return np.where(np.isfinite(margin), margin, np.inf)


MARGINS: dict[str, Margin] = {
    "CartPole-v1": cart_pole,
    "InvertedPendulum-v5": inverted_pendulum,
    "Hopper-v5": hopper,
}
"""By env: how far towards its boundary an observation is. 1 is on it, and beyond an episode ends;
0.95 is a twentieth of the bound (of Hopper's height: of 0.7) away."""


def ends(margin: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the env ends the episode there."""
    beyond: NDArray[np.bool_] = margin > 1.0
    return beyond


def near(margin: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether that is within 5% of the boundary, on either side."""
    close: NDArray[np.bool_] = np.abs(margin - 1.0) <= NEAR
    return close
