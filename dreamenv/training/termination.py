"""How often a model ends episodes when it is fed real ones, and where to cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Endings:
    """Endings an episode: how many there were, and how many the model would have sampled."""

    actual: float
    predicted: float
    threshold: float
    """Cut on the probability that gives the held-out episodes their true number of endings."""


def fit_threshold(
    probabilities: Sequence[NDArray[np.float32]], terminated: Sequence[bool]
) -> Endings:
    """Fit the cut of ``termination="threshold"``.

    A cut at c ends an episode if any of its probabilities exceeds c, so the cut lies between the
    episodes' maxima: below the k-th largest and above the next, k being the true number of endings.
    0.5 where no episode ended, unless the model is surer than that of an ending.

    Args:
        probabilities: for each held-out episode, the model's at each decision.
        terminated: whether that episode really ended so.
    """
    maxima = np.sort([float(p.max(initial=0.0)) for p in probabilities])[::-1]
    k = int(np.sum(terminated))
    if k == 0:
        cut = 0.5 if maxima.max(initial=0.0) < 0.5 else 0.5 * (maxima[0] + 1.0)
    elif k == len(maxima):
        cut = maxima[-1] * 0.5
    else:
        cut = 0.5 * (maxima[k - 1] + maxima[k])
    episodes = max(len(maxima), 1)
    predicted = float(np.sum([p.sum() for p in probabilities])) / episodes
    return Endings(k / episodes, predicted, float(np.clip(cut, 1e-6, 1.0 - 1e-6)))
