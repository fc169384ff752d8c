"""What a dream draws against the mixture's closed form, in float64 and without torch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dreamenv.dream import Dream

from .random_package import random_package

SIZES = dict(height=16, width=16, vae_base=2, latent=4, hidden=8, mixtures=5, head=8)
LANES = 4096
ROUNDS = 12
ACTION = np.array([0.3, -0.8, 0.5], np.float32)


@pytest.fixture(scope="module")
def package():
    """Five components a dimension, far apart compared with their widths, unevenly weighted."""
    made = random_package(SIZES)
    parameters = made.weights["mixture.bias"].view(3, 5, 4)
    rng = np.random.default_rng(0)
    parameters[0] = parameters.new_tensor(rng.normal(0, 1.0, (5, 4)))
    parameters[1] = parameters.new_tensor(np.linspace(-5, 5, 5)[:, None] + np.zeros((1, 4)))
    parameters[2] = parameters.new_tensor(rng.uniform(-2.2, -1.6, (5, 4)))
    made.weights["mixture.weight"].mul_(0.1)
    return made


def mixture(package, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, means and widths ``[components, latent]`` after ACTION: the LSTM, written out."""
    w = {name: tensor.double().numpy() for name, tensor in package.weights.items()}
    z, h, c = (package.starts[name][start].double().numpy() for name in "zhc")
    gates = (
        w["lstm.weight_ih_l0"] @ np.concatenate([z, ACTION.astype(np.float64)])
        + w["lstm.bias_ih_l0"]
        + w["lstm.weight_hh_l0"] @ h
        + w["lstm.bias_hh_l0"]
    )
    i, f, g, o = np.split(gates, 4)

    def logistic(x):
        return 1 / (1 + np.exp(-x))

    c = logistic(f) * c + logistic(i) * np.tanh(g)
    h = logistic(o) * np.tanh(c)
    logits, mean, log_scale = (w["mixture.weight"] @ h + w["mixture.bias"]).reshape(3, 5, 4)
    return logits, mean, np.exp(log_scale)


def draws(package, tau: float) -> np.ndarray:
    """Next latents ``[n, latent]`` of one state and action, under many seeds."""
    dream = Dream(package, LANES, temperature=tau, obs="latent", termination="none")
    rounds = []
    for number in range(ROUNDS):
        seeds = range(number * LANES, (number + 1) * LANES)
        dream.reset(seeds=seeds, options={"start": 7})
        rounds.append(dream.step(np.tile(ACTION, (LANES, 1))).observation)
    return np.concatenate(rounds).astype(np.float64)


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0, 1.3])
def test_draws_follow_the_closed_form(package, tau):
    logits, mean, scale = mixture(package, start=7)
    weights = np.exp(logits / tau - (logits / tau).max(0))
    weights /= weights.sum(0)
    variance = scale**2 * tau
    drawn = draws(package, tau)
    n = len(drawn)
    for d in range(drawn.shape[1]):
        w, m, v = weights[:, d], mean[:, d], variance[:, d]
        # Frequencies: the components are many widths apart, so each draw tells which it came from.
        gap = np.abs(np.subtract.outer(m, m))[~np.eye(5, dtype=bool)].min()
        assert gap > 8 * np.sqrt(v.max())
        component = np.abs(drawn[:, d, None] - m).argmin(1)
        seen, expected = np.bincount(component, minlength=5), n * w
        enough = expected >= 5
        rare = (seen[~enough].sum(), expected[~enough].sum())
        assert rare[0] <= stats.poisson(rare[1]).ppf(1 - 1e-4)
        common = expected[enough] * seen[enough].sum() / expected[enough].sum()
        assert enough.sum() == 1 or stats.chisquare(seen[enough], common).pvalue > 1e-4
        # Moments of the whole: mean Σwm, variance Σwv + Σw(m − mean)².
        centre = (w * m).sum()
        spread = (w * v).sum() + (w * (m - centre) ** 2).sum()
        fourth = (w * ((m - centre) ** 4 + 6 * (m - centre) ** 2 * v + 3 * v**2)).sum()
        assert abs(drawn[:, d].mean() - centre) < 4.5 * np.sqrt(spread / n)
        assert abs(drawn[:, d].var() - spread) < 4.5 * np.sqrt((fourth - spread**2) / n)
        # Within a component: normal, of variance σ²τ.
        for k in np.flatnonzero(seen > 500):
            own = drawn[component == k, d]
            assert stats.kstest((own - m[k]) / np.sqrt(v[k]), "norm").pvalue > 1e-4


def test_dimensions_and_seeds_are_drawn_independently(package):
    drawn = draws(package, 1.0)
    off = np.corrcoef(drawn.T)[~np.eye(4, dtype=bool)]
    assert np.abs(off).max() < 4.5 / np.sqrt(len(drawn))
    assert np.abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 4.5 / np.sqrt(len(drawn))
