"""What the returns of one policy, dreamed and real, say of the dream: one word, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dreamenv.audit.bootstrap import Interval

Word = Literal["honest", "flattering", "exploited", "pessimistic", "undecided"]


@dataclass(frozen=True)
class Thresholds:
    """Where one word gives way to the next. A policy's *gain* is its return over random's."""

    gap: float = 0.25
    """The dream's return may differ from the real one by this share of the gain it promises …"""
    noise: float = 0.5
    """… or by this many standard deviations of a random policy's real return, if that is more …"""
    rounding: float = 0.01
    """… or by this share of the larger return: where nothing varies, a hair is no gap."""
    exploited: float = 0.25
    """A policy that has less than this share of its promised gain in reality exploits the dream."""


@dataclass(frozen=True)
class Evidence:
    """Returns, undiscounted, over the real env's horizon."""

    dream: Interval
    """The policy's mean in the dream."""
    real: Interval
    """The policy's mean in the real env."""
    gap: Interval
    """dream - real."""
    random: float
    """A random policy's mean in the real env."""
    random_std: float
    """Its standard deviation over episodes."""
    best_real: float
    """The best return of any real episode seen, whoever acted."""
    trained: bool = True
    """False if the policy is the random one, which exploits nothing."""
    above_real: tuple[str, ...] = ()
    """What else the dream pays that reality was never seen to pay, in words."""


@dataclass(frozen=True)
class Verdict:
    """The word, and a sentence that says it with figures."""

    word: Word
    sentence: str


def judge(evidence: Evidence, thresholds: Thresholds | None = None) -> Verdict:
    """Judge a dream by what a policy is paid in it.

    *exploited*: the dream pays more than the real env beyond accident, and hardly any of
    the gain is real, or the dream pays what reality never did. *flattering*: it pays more, but
    most of that is real. *pessimistic*: it pays less. *honest*: it pays the same within the
    threshold, and the data rule exploitation out. *undecided*: too few episodes to tell.
    """
    t = thresholds or Thresholds()
    e = evidence
    promised, delivered = e.dream.value - e.random, e.real.value - e.random
    tolerance = max(
        t.gap * abs(promised),
        t.noise * e.random_std,
        t.rounding * max(abs(e.dream.value), abs(e.real.value)),
    )
    gains = e.trained and promised > e.random_std
    figures = f"dream says {e.dream.value:.4g}, real says {e.real.value:.4g}"
    scale = f"random {e.random:.4g}"
    if e.gap.low > 0.0 and gains and delivered < t.exploited * promised:
        return Verdict(
            "exploited",
            f"Exploited: {figures} ({scale}). {_share(delivered, promised)} of the promised gain "
            f"is real, under the {t.exploited:.0%} that would still count as flattery: the "
            "policy has found where the dream is wrong, and lives there.",
        )
    if e.gap.low > 0.0 and e.gap.value > tolerance:
        above = list(e.above_real)
        if e.dream.value > e.best_real:
            above.insert(0, f"its mean return is above the best real episode ({e.best_real:.4g})")
        if e.trained and above:
            return Verdict(
                "exploited",
                f"Exploited: {figures} ({scale}), and the dream pays what reality never paid: "
                f"{'; '.join(above)}.",
            )
        return Verdict(
            "flattering",
            f"Flattering: {figures} ({scale}). The gap is more than the allowed {tolerance:.4g}, "
            f"and more than chance: {e.gap}.",
        )
    if e.gap.high < 0.0 and e.gap.value < -tolerance:
        return Verdict(
            "pessimistic",
            f"Pessimistic: {figures} ({scale}). The policy is better than its dream.",
        )
    could_be_exploited = gains and e.gap.high > (1.0 - t.exploited) * promised
    if abs(e.gap.value) > tolerance or could_be_exploited:
        return Verdict(
            "undecided",
            f"Undecided: {figures} ({scale}), but the gap may be anything in "
            f"[{e.gap.low:.4g}, {e.gap.high:.4g}]; play more episodes.",
        )
    return Verdict(
        "honest",
        f"Honest: {figures} ({scale}). The gap is {e.gap}, within the allowed ±{tolerance:.4g}.",
    )


def _share(delivered: float, promised: float) -> str:
    return f"{delivered / promised:.0%}" if delivered > 0.0 else "Nothing"
