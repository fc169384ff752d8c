"""Where a policy's dreams part from its real episodes, and whether it dreams of unusual things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamenv.audit.bootstrap import Band, band, resample
from dreamenv.audit.play import Played

RESAMPLES = 2000
POINTS = 100
"""Decisions at which the curves are taken, at most."""
CHANCE = 0.005
"""The gap's interval leaves out this share: with a hundred looks, narrower ones stray from 0."""
LASTING = 0.9
"""They part where that interval leaves 0 and stays clear of it at this share of what follows."""
USUAL = 0.99
"""Latents within this quantile of the distances are usual."""


@dataclass(frozen=True)
class Parting:
    """One policy, dreamed and real, decision by decision."""

    decisions: list[int]
    paid_dream: Band
    """Return so far, mean over episodes; one that is over keeps what it had."""
    paid_real: Band
    alive_dream: Band
    """Share of the episodes that have not terminated."""
    alive_real: Band
    paid_apart: int | None
    """Decision from which the dream's return so far is another than the real one; None if never."""
    alive_apart: int | None
    """Likewise for the share that has not terminated."""
    unusual: float | None
    """Share of dreamed latents that are further out (by Mahalanobis' distance) than 99% of what the
    model dreams one decision ahead of real moments: 1% where dreams look like reality. None if the
    policy sees no latents."""
    ended_dream: float
    """Episodes that terminated, in 1,000 decisions."""
    ended_real: float
    words: str


def part(
    dream: Sequence[Played],
    real: Sequence[Played],
    foreseen: Sequence[NDArray[np.float32]],
    seed: int,
) -> Parting:
    """Compare the episodes of one policy.

    Args:
        foreseen: ``[T, latent]`` of real episodes, whoever acted: each next latent as it was
            dreamt from the posterior before it. (Posterior means would not do: they vary less than
            what is drawn.)
    """
    longest = max(len(p) for p in (*dream, *real))
    at = np.unique(np.linspace(1, longest, min(POINTS, longest)).round().astype(int))
    curves = {
        name: (_so_far(played, at), _going_on(played, at))
        for name, played in (("dream", dream), ("real", real))
    }
    paid = _apart(curves["dream"][0], curves["real"][0], at, seed)
    alive = _apart(curves["dream"][1], curves["real"][1], at, seed)
    ended = (_ended(dream), _ended(real))
    unusual = _unusual([p.latents for p in dream if p.latents is not None], foreseen)
    return Parting(
        decisions=at.tolist(),
        paid_dream=_mean(curves["dream"][0], seed),
        paid_real=_mean(curves["real"][0], seed),
        alive_dream=_mean(curves["dream"][1], seed),
        alive_real=_mean(curves["real"][1], seed),
        paid_apart=paid,
        alive_apart=alive,
        unusual=unusual,
        ended_dream=ended[0],
        ended_real=ended[1],
        words=_words(dream, real, paid, alive, ended, unusual),
    )


def _ended(played: Sequence[Played]) -> float:
    return 1000.0 * sum(p.terminated for p in played) / sum(len(p) for p in played)


def _so_far(played: Sequence[Played], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return after so many decisions, ``[episodes, points]``."""
    sums = [np.concatenate([[0.0], np.cumsum(p.rewards)]) for p in played]
    return np.stack([s[np.minimum(at, len(s) - 1)] for s in sums])


def _going_on(played: Sequence[Played], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 where an episode has not terminated after so many decisions; truncated is not ended."""
    return np.stack([(at < len(p)) | (not p.terminated) for p in played]).astype(np.float64)


def _mean(rows: NDArray[np.float64], seed: int) -> Band:
    weights = resample(len(rows), seed, RESAMPLES)
    return band(rows.mean(0), weights @ rows / len(rows))


def _apart(
    dream: NDArray[np.float64], real: NDArray[np.float64], at: NDArray[np.int64], seed: int
) -> int | None:
    draws = resample(len(dream), seed, RESAMPLES) @ dream / len(dream)
    draws -= resample(len(real), seed + 1, RESAMPLES) @ real / len(real)
    low, high = np.quantile(draws, [CHANCE / 2, 1.0 - CHANCE / 2], axis=0)
    clear = (low > 0.0) | (high < 0.0)
    share = np.cumsum(clear[::-1])[::-1] / np.arange(len(at), 0, -1)
    lasting = np.flatnonzero(clear & (share >= LASTING) & clear[-1])
    return int(at[lasting[0]]) if len(lasting) else None


def _unusual(
    dreamed: Sequence[NDArray[np.float32]], real: Sequence[NDArray[np.float32]]
) -> float | None:
    if not dreamed or not real:
        return None
    seen, dreams = (np.concatenate(list(x)).astype(np.float64) for x in (real, dreamed))
    centre = seen.mean(0)
    # A ridge of a thousandth of the mean variance, for directions in which nothing real varies.
    covariance = np.cov(seen.T).reshape(seen.shape[1], seen.shape[1])
    covariance += 1e-3 * np.trace(covariance) / len(covariance) * np.eye(len(covariance)) + 1e-12
    inverse = np.linalg.inv(covariance)

    def distance(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = rows - centre
        found: NDArray[np.float64] = np.einsum("ij,jk,ik->i", moved, inverse, moved)
        return found

    return float((distance(dreams) > np.quantile(distance(seen), USUAL)).mean())


def _words(
    dream: Sequence[Played],
    real: Sequence[Played],
    paid: int | None,
    alive: int | None,
    ended: tuple[float, float],
    unusual: float | None,
) -> str:
    if paid is None:
        words = "Dream and real env pay the policy alike all along."
    else:
        after = {
            name: np.concatenate([p.rewards[paid:] for p in played])
            for name, played in (("dreamed", dream), ("real", real))
        }
        rates = " and ".join(
            f"{rewards.mean():.3g} in the {name} ones" if len(rewards) else f"no {name} one is left"
            for name, rewards in after.items()
        )
        words = f"Its returns part by decision {paid}; from there on a decision pays {rates}."
    if alive is not None:
        words += f" The share that has ended parts by decision {alive}."
    if any(ended):
        words += (
            f" In 1,000 decisions {ended[0]:.2g} episodes end in the dream, {ended[1]:.2g} in the "
            "real env."
        )
    if unusual is not None:
        words += (
            f" {unusual:.1%} of its latents lie further out than 99% of those dreamt one decision "
            "ahead of real moments."
        )
    return words
