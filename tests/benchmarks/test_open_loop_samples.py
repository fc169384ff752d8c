import numpy as np
import pytest
import torch
from open_loop_samples import by_episode, covered, dreams, places, squared_error, windows

from dreamenv.data.rollouts import Episode
from dreamenv.models.ensemble import Ensemble, EnsembleSizes

SIZES = EnsembleSizes(observation=2, action=1, members=3, elites=2, hidden=8, layers=1, outcome=8)


def walk(length: int, seed: int = 0) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        frames=rng.normal(size=(length + 1, 2)).astype(np.float32),
        actions=rng.uniform(-1, 1, (length, 1)).astype(np.float32),
        rewards=np.zeros(length, np.float32),
        terminated=False,
        truncated=True,
        seed=seed,
        policy="random",
        real_steps=length,
    )


def still(deviation: float) -> Ensemble:
    """A model that stays where it is but for noise, and whose observations are its states."""
    model = Ensemble(SIZES)
    with torch.no_grad():
        for parameter in model.dynamics.parameters():
            parameter.zero_()
        model.dynamics.biases[-1][..., 2:4] = 2.0 * np.log(deviation)
        model.least_log_variance.fill_(-40.0)
        model.most_log_variance.fill_(30.0)
    return model


def test_windows_hold_what_was_done_and_what_followed_to_the_episodes_end():
    episodes = [walk(10), walk(3, seed=1)]
    found = windows(episodes, horizon=4, per_episode=2)
    assert found.episode.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(found.first[1], episodes[0].frames[5])
    np.testing.assert_array_equal(found.actions[1], episodes[0].actions[5:9])
    np.testing.assert_array_equal(found.truth[1], episodes[0].frames[6:10])
    np.testing.assert_array_equal(found.truth[3, :2], episodes[1].frames[2:])
    assert torch.isnan(found.truth[3, 2:]).all()


def test_dreams_of_a_random_walk_spread_as_it_does():
    seen = windows([walk(30)], horizon=5, per_episode=3)
    start = seen.first.unsqueeze(1)
    for propagation in ("ts1", "tsinf"):
        for k, states in enumerate(dreams(still(0.3), propagation, seen, 4000, seed=0), start=1):
            away = states - start
            # A mean of 4,000 draws, and a deviation of as many: within five standard errors.
            assert away.mean(1).abs().max() < 5 * 0.3 * (k / 4000) ** 0.5
            torch.testing.assert_close(
                away.std(1), torch.full((3, 2), 0.3 * k**0.5), rtol=0.06, atol=0.0
            )


def test_what_is_drawn_alike_is_covered_at_the_stated_rate():
    generator = torch.Generator().manual_seed(0)
    sampled = torch.randn(4000, 19, 2, generator=generator)
    truth = torch.randn(4000, 2, generator=generator)
    place = places(sampled, truth, np.random.default_rng(0))
    wide = places(3.0 * sampled, truth, np.random.default_rng(0))
    narrow = places(sampled / 3.0, truth, np.random.default_rng(0))
    for rate in (0.1, 0.5, 0.9, 0.95):
        error = 4 * (rate * (1 - rate) / 8000) ** 0.5
        assert abs(covered(place, rate).mean() - rate) < error
        assert covered(wide, rate).mean() > rate + error
        assert covered(narrow, rate).mean() < rate - error


def test_ties_are_covered_at_the_stated_rate_too():
    # All samples and the truth are one number: nothing is told, and nothing is claimed.
    place = places(torch.ones(4000, 9, 1), torch.ones(4000, 1), np.random.default_rng(0))
    assert abs(covered(place, 0.5).mean() - 0.5) < 0.05


def test_what_lies_past_a_windows_end_counts_nothing():
    truth = torch.tensor([[0.0, 1.0], [float("nan"), float("nan")]])
    place = places(torch.zeros(2, 5, 2), truth, np.random.default_rng(0))
    assert np.isnan(place[1]).all()
    assert not covered(place, 0.95)[1].any()
    error = squared_error(torch.zeros(2, 2), truth)
    assert error[0] == pytest.approx(0.5)
    np.testing.assert_array_equal(by_episode(error[:, None], np.array([7, 9])), [[0.5], [0.0]])
