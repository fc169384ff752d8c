"""Predicted endings: sampled, cut at a threshold, or ignored. One batch may mix them.

In NumPy, since it is one number a lane: on few lanes and on an accelerator alike, torch would spend
longer on dispatching each operation than on all of this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dreamenv.dream.knobs import TERMINATIONS

SAMPLE = TERMINATIONS.index("sample")
NEVER = 2.0
"""A bar that no probability passes."""
LARGEST_POWER = np.float32(80.0)
"""Of e, within float32."""


def termination_probability(
    logit: NDArray[np.float32], temperature: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The logistic function of logit / temperature, float32 ``[lanes]``."""
    power = np.minimum(-logit / temperature, LARGEST_POWER)
    probability: NDArray[np.float32] = 1.0 / (1.0 + np.exp(power))
    return probability


def ended(
    probability: NDArray[np.float32],
    mode: NDArray[np.int8],
    threshold: float,
    uniform: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Whether each lane's episode ends, ``[lanes]``.

    Args:
        probability: float32 ``[lanes]``.
        mode: index into :data:`~dreamenv.dream.knobs.TERMINATIONS`.
        threshold: probability above which a lane of that mode ends.
        uniform: float32 ``[lanes]`` in (0, 1), below the probability where a sampled lane ends.
    """
    bars = np.array([0.0, threshold, NEVER], np.float32)[mode]
    return probability > np.where(mode == SAMPLE, uniform, bars)
