import numpy as np
import pytest
from rank_correlation import spearman
from scipy import stats


@pytest.mark.parametrize("seed", range(3))
def test_it_is_spearmans(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=300)
    y = np.exp(seed * x + rng.normal(size=300))
    found = spearman(x, y, [3] * 100)
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert found.low < found.value < found.high


def test_an_episode_drawn_twice_counts_twice():
    """Against scipy's ranks of the decisions written out as often as they were drawn."""
    from rank_correlation import _weighted

    rng = np.random.default_rng(0)
    x, y, weights = rng.normal(size=40), rng.normal(size=40), rng.integers(0, 4, 40)
    expected = stats.spearmanr(np.repeat(x, weights), np.repeat(y, weights)).statistic
    assert _weighted(x, y, weights.astype(float)) == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_as_wide_as_episodes_differ():
    """Decisions of an episode that all say the same are one decision."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    y = x + rng.normal(size=60)
    alone = spearman(x, y, [1] * 60)
    jitter = 1e-9 * rng.normal(size=(60, 50))
    often = spearman((x[:, None] + jitter).ravel(), (y[:, None] + jitter).ravel(), [50] * 60)
    assert often.value == pytest.approx(alone.value, abs=0.01)
    assert often.high - often.low == pytest.approx(alone.high - alone.low, rel=0.05)
