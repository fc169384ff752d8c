from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamenv.audit.filtered import draw_noise, filter_episodes
from dreamenv.audit.frames import choose, film
from dreamenv.audit.open_loop import Window, dream_windows, summarise, windows
from dreamenv.models.world_model import NoiseShape


@pytest.fixture
def dreamed(linear, linear_model):
    """Sixty episodes of the env, dreamed by its exact model."""
    env = linear(push=0.0)
    rng = np.random.default_rng(0)
    episodes = [env.episode(rng, 60) for _ in range(60)]
    model = linear_model(env)
    chosen = windows(episodes, 20, 3)
    keep = [[w.start for w in chosen if w.episode == i] for i in range(60)]
    filtered = filter_episodes(model, episodes, keep=keep, samples=1)
    drift = dream_windows(model, filtered, chosen, horizon=20, samples=64)
    return env, model, filtered, drift


def test_windows_lie_inside_their_episodes(linear):
    rng = np.random.default_rng(0)
    episodes = [linear().episode(rng, n) for n in (5, 50, 120)]
    found = windows(episodes, horizon=50, per_episode=4)
    assert found[:2] == [Window(0, 0, 5), Window(1, 0, 50)]
    assert [w.start for w in found[2:]] == [9, 26, 44, 61]


def test_an_exact_model_errs_by_the_env_s_own_noise(dreamed):
    """x after k steps has variance σ²(1 - a²ᵏ)/(1 - a²) a dimension, given x now."""
    env, _, _, drift = dreamed
    k = np.arange(1, 21)
    noise = 2 * env.spread**2 * (1 - env.decay ** (2 * k)) / (1 - env.decay**2)
    mode = drift.errors["latent", "mode"].mean(axis=0)
    mean = drift.errors["latent", "mean"].mean(axis=0)
    assert mode == pytest.approx(noise, rel=0.25)
    # The mean of n samples errs by a share 1/n more than the mean itself.
    assert mean == pytest.approx(mode * (1 + 1 / 64), rel=0.05)


def test_holding_the_state_still_errs_by_what_it_moves(dreamed):
    _, _, filtered, drift = dreamed
    expected = [
        np.square(
            filtered[w.episode].latents[w.start + k] - filtered[w.episode].latents[w.start]
        ).sum()
        for w in drift.windows
        for k in range(1, w.steps + 1)
    ]
    assert drift.errors["latent", "constant"].ravel() == pytest.approx(expected, rel=1e-4)


def test_the_summary_is_the_share_of_variance_and_has_skill(dreamed):
    _, _, filtered, drift = dreamed
    found = summarise(drift, filtered, seed=0)
    everything = np.concatenate([f.latents for f in filtered])
    variance = everything.var(axis=0).sum()
    curve = found.curves["latent"]["mode"]
    assert curve.value == pytest.approx(drift.errors["latent", "mode"].mean(axis=0) / variance)
    assert (curve.low <= curve.value).all()
    assert (curve.value <= curve.high).all()
    skill = found.skill["latent"].at(9)
    constant, mean = (drift.errors["latent", n][:, 9].mean() for n in ("constant", "mean"))
    assert skill.value == pytest.approx(1 - mean / constant)
    assert skill.low > 0.0
    assert found.reconstruction == 0.0


def test_a_model_that_believes_in_other_actions_is_worse_than_standing_still(linear, linear_model):
    env, wrong = linear(push=0.1, decay=1.0, spread=0.05), linear(push=-1.0, decay=1.0)
    rng = np.random.default_rng(0)
    episodes = [env.episode(rng, 30) for _ in range(10)]
    chosen = windows(episodes, 10, 2)
    keep = [[w.start for w in chosen if w.episode == i] for i in range(10)]
    filtered = filter_episodes(linear_model(wrong), episodes, keep=keep, samples=1)
    drift = dream_windows(linear_model(wrong), filtered, chosen, horizon=10, samples=8)
    assert summarise(drift, filtered, seed=0).skill["latent"].high[9] < 0.0


def test_a_short_episode_counts_only_as_far_as_it_goes(linear, linear_model):
    env = linear()
    rng = np.random.default_rng(0)
    episodes = [env.episode(rng, n) for n in (3, 10, 10)]
    chosen = windows(episodes, 10, 1)
    filtered = filter_episodes(linear_model(env), episodes, keep=[[0]] * 3, samples=1)
    drift = dream_windows(linear_model(env), filtered, chosen, horizon=10, samples=2)
    for errors in drift.errors.values():
        assert np.isfinite(errors[0]).tolist() == [True] * 3 + [False] * 7
        assert np.isfinite(errors[1:]).all()
    tail = summarise(drift, filtered, seed=0).curves["latent"]["mode"].value[3:]
    scale = np.concatenate([f.latents for f in filtered]).astype(float).var(axis=0).sum()
    assert tail == pytest.approx(drift.errors["latent", "mode"][1:, 3:].mean(axis=0) / scale)


def test_filtering_many_episodes_at_once_is_filtering_each_alone(linear, linear_model):
    env = linear(spread=0.0, hazard=-1.0, steep=1.0)
    rng = np.random.default_rng(0)
    episodes = [env.episode(rng, 30) for _ in range(40)]
    model = linear_model(env)
    together = filter_episodes(model, episodes, keep=[[0, 1]] * 40, samples=2)
    for episode, found in zip(episodes, together, strict=True):
        (alone,) = filter_episodes(model, [episode], keep=[[0, 1]], samples=2)
        assert found.episode is episode
        np.testing.assert_array_equal(found.latents, alone.latents)
        np.testing.assert_allclose(found.reward, alone.reward, atol=1e-6)
        np.testing.assert_allclose(found.reward, episode.rewards, atol=1e-3)
        assert len(found.termination) == len(episode)
        assert found.states[1]["x"].shape == (1, 2)


def test_noise_is_open_at_both_ends_and_of_the_declared_shape():
    noise = draw_noise(NoiseShape(3, 2), 1000, torch.Generator().manual_seed(0))
    assert noise.uniform.shape == (1000, 3)
    assert noise.normal.shape == (1000, 2)
    assert 0.0 < float(noise.uniform.min()) < float(noise.uniform.max()) < 1.0


def test_a_strip_shows_real_frames_their_reconstruction_and_a_dream(dreamed):
    _, model, filtered, drift = dreamed
    (window, *_) = choose(drift.windows)
    strip = film(model, filtered[window.episode], window, seed=0)
    assert strip.steps == [0, 1, 2, 5, 10, 20]
    real = filtered[window.episode].episode.frames
    np.testing.assert_array_equal(strip.real, real[[window.start + k for k in strip.steps]])
    np.testing.assert_array_equal(strip.reconstruction, strip.real)
    np.testing.assert_array_equal(strip.dream[0], strip.real[0])
    assert (strip.dream[1:] != strip.real[1:]).any()
