from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dreamenv.audit.bootstrap import Interval
from dreamenv.audit.checks import run_checks


def by_name(findings):
    return {check.name: check for check in run_checks(findings)[1]}


def test_an_honest_dream_passes_everything(findings):
    verdict, checks = run_checks(findings)
    assert verdict.word == "honest"
    assert {c.name: c.passed for c in checks if c.passed is not True} == {}


def test_a_flattering_dream_fails_where_it_flatters_and_only_there(flattering_findings):
    verdict, _ = run_checks(flattering_findings)
    assert verdict.word == "exploited"
    checks = by_name(flattering_findings)
    assert {name for name, check in checks.items() if check.passed is False} == {
        "Return, dream against real",
        "Dream return, against the best real episode",
        "Pace, against the best real one",
        "Reward a decision, against the largest real one",
        "Random play, dream against real",
        "Return, predicted along real episodes",
    }


def test_figures_paid_beyond_reality_are_in_the_verdict_s_words(flattering_findings):
    f = flattering_findings
    # More than half of the gain is real, so that only what reality never paid is exploitation.
    worse = replace(f.random.returns.real, mean=Interval(-100.0, -101.0, -99.0), std=1.0)
    random = replace(f.random, returns=replace(f.random.returns, real=worse))
    verdict, _ = run_checks(replace(f, random=random))
    assert verdict.word == "exploited"
    assert "decisions pay more than any real one" in verdict.sentence
    assert "above the best real episode" in verdict.sentence


def test_endings_are_not_judged_where_the_dream_has_none(findings):
    checks = by_name(replace(findings, ends=False))
    for name in ("Endings an episode, fed real observations", "Endings, calibration"):
        assert checks[name].passed is None
        assert "does not end episodes" in checks[name].measured


def test_too_few_endings_are_said_to_be_too_few(findings):
    few = replace(findings.termination, calibration=None, words="Too few endings to say: 3")
    check = by_name(replace(findings, termination=few))["Endings, calibration"]
    assert check.passed is None
    assert "Too few endings to say: 3" in check.measured


@pytest.mark.parametrize(
    ("predicted", "z", "passed"),
    [(13.0, -30.0, False), (13.0, -2.0, True), (1.5, -9.0, True), (0.3, 12.0, False)],
)
def test_endings_fail_only_beyond_both_factor_and_chance(findings, predicted, z, passed):
    report = replace(
        findings.termination,
        actual=Interval(1.0, 1.0, 1.0),
        predicted=Interval(predicted, predicted, predicted),
        z=z,
    )
    checks = by_name(replace(findings, termination=report))
    assert checks["Endings an episode, fed real observations"].passed is passed


def test_a_random_policy_that_dies_early_in_the_dream_is_seen(findings):
    lengths = findings.random.lengths
    dying = replace(lengths, dream=replace(lengths.dream, mean=Interval(2.0, 2.0, 2.0)))
    checks = by_name(replace(findings, random=replace(findings.random, lengths=dying)))
    assert checks["Random play, dream against real"].passed is False


def test_rewards_that_are_all_equal_say_nothing_of_correlation(findings):
    nan = Interval(np.nan, np.nan, np.nan)
    fed = replace(findings.reward.fed, correlation=nan)
    equal = replace(findings.reward, fed=fed, mean_mae=0.0)
    constant = replace(findings.reward, fed=fed)
    assert by_name(replace(findings, reward=equal))["Reward, decision by decision"].passed is None
    # A head that always says the same of rewards that vary has failed.
    assert (
        by_name(replace(findings, reward=constant))["Reward, decision by decision"].passed is False
    )


@pytest.mark.parametrize(
    ("dream_best", "real_best", "real", "passed"),
    [
        (2.0e-5, -8.0e-4, -0.8, True),  # a pendulum held up: nothing is to be had above 0
        (0.1, -8.0e-4, -0.8, False),
        (6.4, 6.2, 3.0, True),
        (6.6, 6.2, 3.0, False),
    ],
)
def test_paces_are_told_apart_on_the_scale_of_what_is_paid(
    findings, dream_best, real_best, real, passed
):
    pace = replace(findings.policy.pace, dream_best=dream_best, real_best=real_best, real=real)
    checks = by_name(replace(findings, policy=replace(findings.policy, pace=pace)))
    assert checks["Pace, against the best real one"].passed is passed
