from __future__ import annotations

import numpy as np
import pytest

from dreamenv.audit.filtered import filter_episodes
from dreamenv.audit.termination import audit_termination, termination_report


def lives(rng, hazards, most=60):
    """Episodes whose every decision ends them with a known probability."""
    probabilities, terminated = [], []
    for p in hazards:
        ends = np.flatnonzero(rng.uniform(size=most) < p[:most])
        length = int(ends[0]) + 1 if len(ends) else most
        probabilities.append(p[:length])
        terminated.append(bool(len(ends)))
    return probabilities, terminated


def varied(rng, episodes, most=60):
    return [rng.beta(0.5, 12.0, most) for _ in range(episodes)]


def test_true_probabilities_are_found_calibrated():
    rng = np.random.default_rng(0)
    probabilities, terminated = lives(rng, varied(rng, 150))
    found = termination_report(probabilities, terminated, seed=0)
    assert found.endings == sum(terminated)
    assert abs(found.z) < 3
    assert found.predicted.value == pytest.approx(found.actual.value, rel=0.2)
    c = found.calibration
    assert c is not None
    assert c.auroc.low > 0.5
    assert c.skill.low > 0.0
    assert c.ece.value < 0.02
    r = c.reliability
    inside = (r.observed.low - 1e-9 <= r.predicted) & (r.predicted <= r.observed.high + 1e-9)
    assert inside.mean() >= 0.7
    assert sum(r.count) == sum(len(p) for p in probabilities)


def test_a_model_that_counts_predicts_many_more_endings_than_there_are():
    rng = np.random.default_rng(0)
    probabilities, terminated = lives(rng, varied(rng, 60))
    found = termination_report([np.minimum(13 * p, 1.0) for p in probabilities], terminated, seed=0)
    assert found.z < -10
    assert found.predicted.low > 2 * found.actual.high


def test_nine_endings_are_too_few_to_say_and_ten_are_not():
    p = np.full(5, 0.1)
    nine = termination_report([p] * 20, [i < 9 for i in range(20)], seed=0)
    ten = termination_report([p] * 20, [i < 10 for i in range(20)], seed=0)
    assert nine.calibration is None
    assert "Too few endings to say: 9" in nine.words
    assert ten.calibration is not None
    # The same everywhere: neither order nor any use beyond the base rate.
    assert ten.calibration.auroc.value == 0.5
    assert ten.calibration.skill.value == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("p", "surprising"), [(0.001, False), (0.1, True)])
def test_no_endings_at_all_can_still_be_over_predicted(p, surprising):
    found = termination_report([np.full(50, p)] * 10, [False] * 10, seed=0)
    assert found.actual.value == 0.0
    assert (abs(found.z) > 3) == surprising


def test_a_truncated_episode_has_no_ending():
    found = termination_report([np.array([0.5, 0.5])] * 2, [True, False], seed=0)
    assert found.endings == 1
    assert found.predicted.value == 1.0
    assert found.z == pytest.approx((1 - 2) / np.sqrt(4 * 0.25))


def test_an_exact_model_s_endings_are_found_calibrated_on_its_env(linear, linear_model):
    env = linear(hazard=-4.0, steep=2.0)
    rng = np.random.default_rng(2)
    episodes = [env.episode(rng, 60) for _ in range(40)]
    filtered = filter_episodes(linear_model(env), episodes, keep=[[]] * 40, samples=32, seed=0)
    found = audit_termination(filtered, seed=0)
    assert found.endings >= 20
    assert abs(found.z) < 3
    assert found.calibration is not None
    assert found.calibration.skill.value > 0.0
    # A dream that ends more often, by its own knob, is seen to.
    hot = filter_episodes(
        linear_model(env), episodes, keep=[[]] * 40, samples=32, termination_temperature=3.0
    )
    assert audit_termination(hot, seed=0).z < -10
