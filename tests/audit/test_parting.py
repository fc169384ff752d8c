"""Where dreams part from reality, on episodes whose parting is known."""

from __future__ import annotations

import numpy as np
import pytest

from dreamenv.audit.parting import part
from dreamenv.audit.play import Played


def paid(rng, episodes, decisions, change=None, jump=0.0, latents=None):
    """Rewards of mean 1, and 1 + jump from decision ``change`` on."""
    found = []
    for i in range(episodes):
        rewards = 1.0 + rng.standard_normal(decisions)
        if change is not None:
            rewards[change:] += jump
        found.append(Played(rewards, False, None if latents is None else latents[i]))
    return found


def test_the_same_distribution_does_not_part():
    rng = np.random.default_rng(0)
    for seed in range(5):
        found = part(paid(rng, 100, 200), paid(rng, 20, 200), [], seed)
        assert found.paid_apart is None
        assert found.alive_apart is None
        assert "alike all along" in found.words
        assert found.decisions[-1] == 200


def test_returns_part_where_the_dream_begins_to_pay_more():
    rng = np.random.default_rng(0)
    found = part(paid(rng, 200, 200, 120, 2.0), paid(rng, 40, 200), [], 0)
    # At once at this jump: 2 a decision against a deviation of √120 / √40.
    assert found.paid_apart is not None
    assert 120 <= found.paid_apart <= 130
    assert found.paid_dream.value[-1] == pytest.approx(200 + 80 * 2, abs=8)
    assert found.paid_real.value[-1] == pytest.approx(200, abs=10)
    assert "3" in found.words.split("pays")[1][:6]


def test_survival_parts_where_the_real_episodes_die():
    rng = np.random.default_rng(1)
    dream = [Played(np.ones(100), False) for _ in range(50)]
    real = [Played(np.ones(int(n)), True) for n in rng.integers(60, 100, 30)]
    found = part(dream, real, [], 0)
    assert found.alive_apart is not None
    assert 60 <= found.alive_apart <= 75
    at = np.array(found.decisions)
    lengths = np.array([len(p) for p in real])
    expected = (lengths[:, None] > at).mean(0)
    np.testing.assert_allclose(found.alive_real.value, expected)
    np.testing.assert_array_equal(found.alive_dream.value, 1.0)
    assert found.ended_dream == 0.0
    assert found.ended_real == pytest.approx(1000.0 / lengths.mean())
    assert "0 episodes end in the dream, 13 in the real env" in found.words
    # A truncated episode has not ended, nor lost what it was paid.
    assert found.paid_dream.value[-1] == 100.0


def test_usual_latents_are_told_from_unusual_ones():
    rng = np.random.default_rng(2)
    mix = rng.standard_normal((6, 6))
    real = [(rng.standard_normal((200, 6)) @ mix).astype(np.float32) for _ in range(30)]

    def dreams(shift):
        rows = rng.standard_normal((40, 100, 6)) + shift
        return paid(rng, 40, 30, latents=(rows @ mix).astype(np.float32))

    usual = part(dreams(0.0), paid(rng, 20, 30), real, 0)
    assert usual.unusual == pytest.approx(0.01, abs=0.005)
    far = part(dreams(3.0), paid(rng, 20, 30), real, 0)
    assert far.unusual > 0.9
    assert "further out than 99%" in far.words
    # A direction in which reality never moves does not make everything unusual.
    flat = [np.pad(rows, ((0, 0), (0, 1))) for rows in real]
    wide = [Played(p.rewards, False, np.pad(p.latents, ((0, 0), (0, 1)))) for p in dreams(0.0)]
    assert part(wide, paid(rng, 20, 30), flat, 0).unusual == pytest.approx(0.01, abs=0.005)
    assert part(paid(rng, 4, 9), paid(rng, 4, 9), real, 0).unusual is None
