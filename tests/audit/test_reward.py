from __future__ import annotations

import numpy as np
import pytest

from dreamenv.audit.filtered import filter_episodes
from dreamenv.audit.open_loop import dream_windows, windows
from dreamenv.audit.reward import audit_reward, reward_error


def test_errors_of_known_rewards():
    rng = np.random.default_rng(0)
    real = [rng.normal(size=n) for n in (5, 30, 11)]
    said = [0.5 * r + 0.2 + 0.1 * rng.normal(size=len(r)) for r in real]
    found = reward_error(said, real, seed=0)
    p, r = np.concatenate(said), np.concatenate(real)
    assert found.bias.value == pytest.approx((p - r).mean())
    assert found.mae.value == pytest.approx(np.abs(p - r).mean())
    assert found.correlation.value == pytest.approx(np.corrcoef(p, r)[0, 1])
    assert found.correlation.low <= found.correlation.value <= found.correlation.high


def test_rewards_that_do_not_vary_have_no_correlation():
    ones = [np.ones(4), np.ones(3)]
    found = reward_error([o + 1e-9 * i for i, o in enumerate(ones)], ones, seed=0)
    assert np.isnan(found.correlation.value)


def test_a_correlation_survives_rewards_far_from_zero():
    rng = np.random.default_rng(0)
    real = [1e6 + rng.normal(size=40) for _ in range(3)]
    said = [r + rng.normal(size=40) for r in real]
    found = reward_error(said, real, seed=0)
    assert found.correlation.value == pytest.approx(
        np.corrcoef(np.concatenate(said), np.concatenate(real))[0, 1]
    )


def audited(env, model, policies=("random", "policy.zip")):
    rng = np.random.default_rng(1)
    episodes = [env.episode(rng, 40, policies[i % len(policies)]) for i in range(12)]
    chosen = windows(episodes, 20, 2)
    keep = [[w.start for w in chosen if w.episode == i] for i in range(len(episodes))]
    filtered = filter_episodes(model, episodes, keep=keep, samples=64)
    drift = dream_windows(model, filtered, chosen, horizon=20, samples=64)
    return episodes, audit_reward(filtered, drift, seed=0)


def test_an_exact_model_has_no_bias_fed_or_open_loop(linear, linear_model):
    env = linear()
    episodes, found = audited(env, linear_model(env))
    for error in (found.fed, found.open_loop):
        assert abs(error.bias.value) < 0.1
    # The best prediction of x' misses the noise alone: E|σε| = σ·√(2/π).
    assert found.fed.mae.value == pytest.approx(env.spread * np.sqrt(2 / np.pi), rel=0.1)
    assert found.fed.correlation.low > 0.5
    assert found.return_bias.low <= 0.0 <= found.return_bias.high
    assert [e.real for e in found.episodes] == pytest.approx(
        [float(e.rewards.sum()) for e in episodes], abs=1e-4
    )
    assert set(found.fed_by_policy) == {"random", "policy.zip"}
    # Errors grow with k, towards the stationary spread.
    assert found.open_loop_mae.value[15:].mean() > 1.3 * found.open_loop_mae.value[0]


def test_a_flattering_reward_head_is_measured_to_the_figure(linear, linear_model):
    env = linear()
    _, honest = audited(env, linear_model(env))
    _, found = audited(env, linear_model(linear(bonus=0.7)))
    assert found.fed.bias.value - honest.fed.bias.value == pytest.approx(0.7, abs=1e-3)
    assert found.return_bias.low > 0.5 * 0.7 * 40
    assert found.open_loop_bias.value - honest.open_loop_bias.value == pytest.approx(
        np.full(20, 0.7), abs=1e-3
    )
