"""Endings foretold by dreaming on from real moments."""

from __future__ import annotations

import numpy as np
import pytest

from dreamenv.audit.filtered import filter_episodes
from dreamenv.audit.within import audit_within, known_moments, within_report
from dreamenv.data.shards import Episode


def lived(decisions, terminated):
    return Episode(
        frames=np.zeros((decisions + 1, 1, 2), np.uint8),
        actions=np.zeros((decisions, 2), np.float32),
        rewards=np.zeros(decisions, np.float32),
        terminated=terminated,
        truncated=not terminated,
        seed=0,
        policy="random",
        real_steps=decisions,
    )


def test_moments_are_as_many_wherever_an_episode_ends():
    """Of a constant hazard, the share that ends in time is 1 - (1 - p)^k."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.geometric(0.03, 2000), 60)
    died = rng.uniform(size=2000) < 0.03
    episodes = [lived(int(n), bool(n < 60 or d)) for n, d in zip(lengths, died, strict=True)]
    asked = known_moments(episodes, 10, 20_000, seed=1, limit=60)
    ended = [
        e.terminated and at + 10 >= len(e)
        for e, wanted in zip(episodes, asked, strict=True)
        for at in wanted
    ]
    assert 10_000 < len(ended) < 30_000
    assert np.mean(ended) == pytest.approx(1 - 0.97**10, abs=0.015)


def test_only_moments_whose_outcome_is_known_are_asked_about():
    episodes = [lived(30, True), lived(30, False), lived(3, True), lived(9, False)]
    every = known_moments(episodes, 10, 10**6, seed=0)
    assert [len(e) for e in every] == [30, 21, 3, 0]
    limited = known_moments(episodes, 10, 10**6, seed=0, limit=30)
    assert limited == [list(range(21)), list(range(21)), [0, 1, 2], []]
    few = known_moments(episodes, 10, 9, seed=0)
    assert np.diff(few[0]).tolist() == [8] * (len(few[0]) - 1)


def foretold(linear, linear_model, *, truth, said, **changes):
    rng = np.random.default_rng(3)
    episodes = [linear(**truth).episode(rng, 60) for _ in range(120)]
    moments = known_moments(episodes, 10, 1200, 0, 60)
    model = linear_model(linear(**said))
    filtered = filter_episodes(model, episodes, keep=moments, samples=1)
    return audit_within(model, filtered, moments, steps=10, samples=32, **changes)


TRUTH = {"hazard": -4.0, "steep": 2.0}


def test_an_exact_model_foretells_them_calibrated(linear, linear_model):
    found = foretold(linear, linear_model, truth=TRUTH, said=TRUTH)
    assert found.moments > 500
    assert 0.1 < found.share < 0.9
    c = found.calibration
    assert c is not None
    assert c.ece.value < 0.06
    assert c.auroc.low > 0.6
    assert c.skill.low > 0.0


def test_one_that_is_too_sure_or_too_blind_is_found_out(linear, linear_model):
    hasty = foretold(linear, linear_model, truth=TRUTH, said={"hazard": -1.0, "steep": 2.0})
    assert hasty.calibration is not None
    assert hasty.calibration.ece.low > 0.15
    blind = foretold(linear, linear_model, truth=TRUTH, said={"hazard": -2.5, "steep": 0.0})
    assert blind.calibration is not None
    assert blind.calibration.auroc.value == pytest.approx(0.5, abs=1e-9)
    mild = foretold(linear, linear_model, truth=TRUTH, said=TRUTH, termination_temperature=3.0)
    assert mild.calibration is not None
    assert mild.calibration.ece.low > 0.15


def test_a_constant_hazard_is_its_closed_form(linear, linear_model):
    """1 - (1 - p)^k, whatever is dreamt."""
    env = linear(hazard=-3.0)
    rng = np.random.default_rng(0)
    episodes = [env.episode(rng, 40) for _ in range(30)]
    moments = known_moments(episodes, 7, 300, 0, 40)
    model = linear_model(env)
    filtered = filter_episodes(model, episodes, keep=moments, samples=1)
    found = audit_within(model, filtered, moments, steps=7, samples=2)
    assert found.calibration is not None
    p = 1 / (1 + np.exp(3.0))
    assert found.calibration.reliability.predicted == pytest.approx([1 - (1 - p) ** 7])
    assert found.calibration.reliability.observed.value == pytest.approx([found.share])


def test_too_few_endings_say_nothing():
    p = [np.full(4, 0.5)] * 12
    nine = [np.array([False] * 3 + [i < 9]) for i in range(12)]
    few = within_report(p, nine, steps=5, samples=1, seed=0)
    assert few.calibration is None
    assert "Too few endings to say: those of 9 episodes" in few.words
    ten = [np.array([False] * 3 + [i < 10]) for i in range(12)]
    assert within_report(p, ten, steps=5, samples=1, seed=0).calibration is not None
    none = within_report([np.zeros(0)], [np.zeros(0, bool)], steps=5, samples=1, seed=0)
    assert none.calibration is None
