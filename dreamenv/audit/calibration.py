"""How good predicted probabilities of rare events are. Every figure takes a weight a prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10


@dataclass(frozen=True)
class Predictions:
    """Probabilities and what came of them."""

    probability: NDArray[np.float64]
    """``[n]`` in [0, 1]."""
    happened: NDArray[np.bool_]
    """``[n]``."""

    def __post_init__(self) -> None:
        p = self.probability
        if p.ndim != 1 or p.shape != self.happened.shape or not len(p):
            raise ValueError(
                f"expected two equally long vectors, got {p.shape} and {self.happened.shape}"
            )
        if not ((p >= 0.0) & (p <= 1.0)).all():
            raise ValueError(f"probability: expected 0 to 1, got {p.min()} to {p.max()}")


def auroc(predictions: Predictions, weights: ArrayLike | None = None) -> float:
    """Probability that an event was given a higher probability than a non-event; ties count half.

    The Mann–Whitney form of the area under the ROC curve (Hanley & McNeil 1982). NaN without both
    events and non-events.

    >>> auroc(Predictions(np.array([0.1, 0.4, 0.9]), np.array([False, True, True])))
    1.0
    """
    w = _weights(predictions, weights)
    levels, level = np.unique(predictions.probability, return_inverse=True)
    events = np.bincount(level, w * predictions.happened, len(levels))
    others = np.bincount(level, w * ~predictions.happened, len(levels))
    pairs = events.sum() * others.sum()
    below = np.cumsum(others) - others
    return float((events * (below + 0.5 * others)).sum() / pairs) if pairs else float("nan")


def brier(predictions: Predictions, weights: ArrayLike | None = None) -> float:
    """Mean squared error of the probabilities (Brier 1950)."""
    error = predictions.probability - predictions.happened
    return float(np.average(error**2, weights=_weights(predictions, weights)))


def brier_skill(predictions: Predictions, weights: ArrayLike | None = None) -> float:
    """1 - Brier / Brier of always saying the base rate, as found in these data (Murphy 1973).

    1 is perfect, 0 no better than the base rate, below 0 worse. NaN if nothing, or everything,
    happened.
    """
    w = _weights(predictions, weights)
    base = float(np.average(predictions.happened, weights=w))
    reference = base * (1.0 - base)
    return 1.0 - brier(predictions, w) / reference if reference > 0.0 else float("nan")


@dataclass(frozen=True)
class Reliability:
    """Predicted against observed frequency, bin by bin, each float64 ``[bins]``."""

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    count: NDArray[np.float64]


def bins(predictions: Predictions, count: int = BINS) -> NDArray[np.int64]:
    """The bin of each prediction: bins of equal mass, since nearly all probabilities of a rare
    event would fall into the first of equally wide ones (Nguyen & O'Connor 2015). Equal
    probabilities share a bin, so there may be fewer."""
    inner = np.linspace(0.0, 1.0, count + 1)[1:-1]
    edges = np.unique(np.quantile(predictions.probability, inner))
    _, bin_of = np.unique(
        np.searchsorted(edges, predictions.probability, side="right"), return_inverse=True
    )
    return bin_of.astype(np.int64)


def reliability(
    predictions: Predictions, bin_of: NDArray[np.int64], weights: ArrayLike | None = None
) -> Reliability:
    """The reliability curve over given bins; NaN where a bin has no weight."""
    w = _weights(predictions, weights)
    size = int(bin_of.max()) + 1
    count = np.bincount(bin_of, w, size).astype(np.float64)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(bin_of, w * predictions.probability, size) / count
        observed = np.bincount(bin_of, w * predictions.happened, size) / count
    return Reliability(predicted, observed, count)


def expected_calibration_error(
    predictions: Predictions, bin_of: NDArray[np.int64], weights: ArrayLike | None = None
) -> float:
    """Mean |predicted - observed| over bins, by their mass (Naeini et al. 2015)."""
    curve = reliability(predictions, bin_of, weights)
    there = curve.count > 0
    error = np.abs(curve.predicted - curve.observed)[there]
    return float(np.average(error, weights=curve.count[there]))


def _weights(predictions: Predictions, weights: ArrayLike | None) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(len(predictions.probability))
    return np.asarray(weights, np.float64)
