"""Each thing that must hold for a dream to be trusted: passed, failed, or too little to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dreamenv.audit.findings import Findings
from dreamenv.audit.termination import ENOUGH_ENDINGS, TerminationReport
from dreamenv.audit.verdict import Evidence, Thresholds, Verdict, judge
from dreamenv.audit.within import WithinReport

SHARE_ABOVE = 0.01
PACE_MARGIN = 0.05
CORRELATION = 0.5
SKILL_STEP = 10
ENDINGS_RATIO = 2.0
ENDINGS_Z = 3.0
LENGTH_RATIO = 2.0


@dataclass(frozen=True)
class Check:
    """One of them."""

    name: str
    passed: bool | None
    """None where the data do not say."""
    measured: str
    expected: str
    """The threshold, in words."""


def evidence(findings: Findings) -> Evidence:
    """What the verdict is given of the findings."""
    returns, noise = findings.policy.returns, findings.random.returns.real
    unreal = [
        check for check in (reward_range(findings), best_pace(findings)) if check.passed is False
    ]
    return Evidence(
        dream=returns.dream.mean,
        real=returns.real.mean,
        gap=returns.gap,
        random=noise.mean.value,
        random_std=noise.std,
        best_real=findings.policy.ceiling.best_real_return,
        trained=findings.trained,
        above_real=tuple(check.measured for check in unreal),
    )


def run_checks(findings: Findings) -> tuple[Verdict, list[Check]]:
    """The verdict on the returns, and every check, that one first."""
    verdict = judge(evidence(findings))
    t = Thresholds()
    first = Check(
        name="Return, dream against real",
        passed={"honest": True, "undecided": None}.get(verdict.word, False),
        measured=verdict.sentence,
        expected=f"a gap of at most {t.gap:.0%} of the gain over random (or {t.noise} standard "
        f"deviations of random's return, or {t.rounding:.0%} of the return, whichever is most)",
    )
    checks: list[Callable[[Findings], Check]] = [
        best_return,
        best_pace,
        reward_range,
        random_play,
        reward_along_real,
        reward_correlation,
        open_loop_skill,
        number_of_endings,
        termination_calibration,
        foretold_endings,
    ]
    return verdict, [first, *(check(findings) for check in checks)]


def best_return(findings: Findings) -> Check:
    """The policy's dreams on average pay no more than the best real episode did."""
    dream, best = findings.policy.returns.dream.mean, findings.policy.ceiling.best_real_return
    return Check(
        "Dream return, against the best real episode",
        bool(dream.value <= best),
        f"mean dream return {dream}, best real episode {best:.4g}",
        "the mean dream return is at most that of the best real episode seen",
    )


def best_pace(findings: Findings) -> Check:
    """A typical dream's best stretch is no better than the best real one."""
    pace = findings.policy.pace
    # A share of the best alone would be nothing where the best is to lose nothing, as in Pendulum.
    margin = PACE_MARGIN * max(abs(pace.real_best), pace.real_best - pace.real)
    return Check(
        "Pace, against the best real one",
        bool(pace.dream_best <= pace.real_best + margin),
        f"a dream's best {pace.window} decisions pay {pace.dream_best:.4g} each (median), the best "
        f"of any real episode {pace.real_best:.4g}",
        f"at most {PACE_MARGIN:.0%} above the best real stretch of {pace.window} decisions, or "
        "that share of how far it is above the mean real one",
    )


def reward_range(findings: Findings) -> Check:
    """Hardly any dreamed decision is paid more than any real one was."""
    ceiling = findings.policy.ceiling
    return Check(
        "Reward a decision, against the largest real one",
        bool(ceiling.share_above <= SHARE_ABOVE),
        f"{ceiling.share_above:.2%} of dreamed decisions pay more than any real one "
        f"({ceiling.real_high:.4g}); the largest pays {ceiling.dream_high:.4g}",
        f"at most {SHARE_ABOVE:.0%} of dreamed decisions",
    )


def random_play(findings: Findings) -> Check:
    """Random play lives as long, and is paid the same, in the dream as in the real env."""
    returns, lengths = findings.random.returns, findings.random.lengths
    ratio = lengths.dream.mean.value / lengths.real.mean.value
    lives = 1.0 / LENGTH_RATIO <= ratio <= LENGTH_RATIO
    chance = returns.gap.low <= 0.0 <= returns.gap.high
    paid = chance or abs(returns.gap.value) <= returns.real.std
    return Check(
        "Random play, dream against real",
        bool(lives and paid),
        f"{lengths.dream.mean} decisions in the dream, {lengths.real.mean} in the real env; "
        f"return {returns.dream.mean} against {returns.real.mean}",
        f"lengths within a factor of {LENGTH_RATIO:g}; returns within a standard deviation of the "
        "real one, or of chance",
    )


def reward_along_real(findings: Findings) -> Check:
    """Fed real observations, the predicted return is the real one."""
    bias, t = findings.reward.return_bias, Thresholds()
    noise, real = findings.random.returns.real, findings.policy.returns.real
    allowed = max(t.gap * abs(real.mean.value - noise.mean.value), t.noise * noise.std)
    return Check(
        "Return, predicted along real episodes",
        bool(abs(bias.value) <= allowed or bias.low <= 0.0 <= bias.high),
        f"predicted - real return {bias} an episode, fed real observations",
        f"within ±{allowed:.4g} ({t.gap:.0%} of the gain over random, or {t.noise} standard "
        "deviations of random's return), or of chance",
    )


def reward_correlation(findings: Findings) -> Check:
    """Predicted rewards rise and fall with the real ones."""
    fed = findings.reward.fed
    constant = findings.reward.mean_mae == 0.0
    value = fed.correlation.value
    return Check(
        "Reward, decision by decision",
        None if constant else bool(np.isfinite(value) and value >= CORRELATION),
        "real rewards are all equal"
        if constant
        else f"correlation {fed.correlation}, fed real observations; mean absolute error "
        f"{fed.mae}, that of a constant {findings.reward.mean_mae:.4g}",
        f"correlation at least {CORRELATION}",
    )


def open_loop_skill(findings: Findings) -> Check:
    """Dreaming beats standing still."""
    k = min(SKILL_STEP, len(findings.open_loop.steps))
    skill = findings.open_loop.skill["latent"].at(k - 1)
    known = bool(np.isfinite(skill.low))
    return Check(
        f"Open loop, {k} steps",
        bool(skill.low > 0.0) if known else None,
        f"{skill.value:.0%} less squared error than holding the latent still, interval "
        f"[{skill.low:.0%}, {skill.high:.0%}]"
        if known
        else "too few held-out episodes that long, or nothing moves in them",
        "less error than a constant latent, the interval above 0",
    )


def number_of_endings(findings: Findings) -> Check:
    """Fed real observations, the model predicts as many endings as there were."""
    name, report = "Endings an episode, fed real observations", findings.termination
    expected = (
        f"within a factor of {ENDINGS_RATIO:g} of the real number, or of chance (|z| at most "
        f"{ENDINGS_Z:g})"
    )
    if not findings.ends:
        return Check(name, None, "the dream does not end episodes (termination: none)", expected)
    actual, predicted = report.actual.value, report.predicted.value
    near = actual / ENDINGS_RATIO <= predicted <= actual * ENDINGS_RATIO
    return Check(
        name,
        bool(near or abs(report.z) <= ENDINGS_Z),
        f"predicted {report.predicted}, real {report.actual}, z {report.z:.2g}",
        expected,
    )


def termination_calibration(findings: Findings) -> Check:
    """Predicted endings come when real ones do."""
    return _calibrated(
        "Endings, calibration",
        findings.ends,
        findings.termination,
        f"; at least {ENOUGH_ENDINGS} real endings to say so",
    )


def foretold_endings(findings: Findings) -> Check:
    """The dream sees endings coming."""
    report = findings.within
    return _calibrated(f"Endings within {report.steps} decisions", findings.ends, report)


def _calibrated(
    name: str, ends: bool, report: TerminationReport | WithinReport, condition: str = ""
) -> Check:
    """Predicted endings rank real ones, and beat their base rate."""
    expected = f"AUROC's interval above 0.5 and Brier skill above 0{condition}"
    if not ends:
        return Check(name, None, "the dream does not end episodes (termination: none)", expected)
    if report.calibration is None:
        return Check(name, None, report.words, expected)
    c = report.calibration
    return Check(
        name,
        bool(c.auroc.low > 0.5 and c.skill.value > 0.0),
        f"AUROC {c.auroc}, Brier skill {c.skill}, ECE {c.ece}; {report.words}",
        expected,
    )
