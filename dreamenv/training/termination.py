"""How often a model ends episodes when it is fed real ones, and where to cut."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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
    """Cut on the probability at which held-out episodes end as often, a decision, as they did."""


def fit_threshold(
    probabilities: Sequence[NDArray[np.float32]], terminated: Sequence[bool]
) -> Endings:
    """Fit the cut of ``termination="threshold"``.

    A cut ends an episode at the first probability above it, too early, in time, or never. The lower
    it is, the more endings in fewer decisions; so there is one at which the endings a decision are
    the true ones. (Endings an episode would not do: where every episode ended, a cut that ends them
    all at once has the right number.) The middle of all cuts that are equally good; 0.5 where no
    episode ended, unless the model is surer than that of an ending.

    Args:
        probabilities: for each held-out episode, the model's at each decision.
        terminated: whether that episode really ended so.
    """
    episodes = max(len(probabilities), 1)
    actual = int(np.sum(terminated))
    highest = max((float(p.max(initial=0.0)) for p in probabilities), default=0.0)
    if actual == 0:
        cut = 0.5 if highest < 0.5 else 0.5 * (highest + 1.0)
    else:
        cut = _cut(probabilities, actual / sum(map(len, probabilities)))
    predicted = float(np.sum([p.sum() for p in probabilities])) / episodes
    return Endings(actual / episodes, predicted, float(np.clip(cut, 1e-6, 1.0 - 1e-6)))


def _cut(probabilities: Sequence[NDArray[np.float32]], wanted: float) -> float:
    rising = [np.maximum.accumulate(p.astype(np.float64)) for p in probabilities]
    # The rate changes only where the cut passes a probability that was the highest so far.
    edges = np.unique(np.concatenate([[0.0], *rising, [1.0]]))

    def rate(i: int) -> float:
        """Endings a decision of a cut between edges i and i + 1."""
        first = [int(np.searchsorted(r, edges[i], side="right")) for r in rising]
        ended = sum(f < len(r) for f, r in zip(first, rising, strict=True))
        return ended / sum(min(f + 1, len(r)) for f, r in zip(first, rising, strict=True))

    places = range(len(edges) - 1)
    below = bisect_left(places, -wanted, key=lambda i: -rate(i))  # the first that is not above
    best = min((i for i in (below - 1, below) if i in places), key=lambda i: abs(rate(i) - wanted))
    low = bisect_left(places, -rate(best), key=lambda i: -rate(i))
    high = bisect_right(places, -rate(best), key=lambda i: -rate(i))
    return 0.5 * float(edges[low] + edges[high])
