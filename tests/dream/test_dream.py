"""The MDP on top of the model: endings, horizons, knobs, starts, and what is shown."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch
from dreamenv_client import Lanes
from scipy import stats

from dreamenv.dream import Dream

from .random_package import SMALL, random_package

STILL = np.zeros(3, np.float32)


def still(lanes: int) -> np.ndarray:
    return np.zeros((lanes, 3), np.float32)


def one_decision(dream: Dream, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted probabilities and endings of the first decisions of many episodes."""
    probabilities, endings = [], []
    for time in range(times):
        dream.reset(seeds=range(time * dream.num_lanes, (time + 1) * dream.num_lanes))
        shown = dream.step(still(dream.num_lanes))
        probabilities.append(shown.info["termination_probability"])
        endings.append(shown.terminated)
    return np.concatenate(probabilities).astype(np.float64), np.concatenate(endings)


@pytest.fixture(scope="module")
def lively():
    """A model whose termination probabilities are spread out, with a threshold of its own."""
    package = random_package(SMALL, ending_logit=-0.3, defaults={"threshold": 0.4})
    package.weights["outcome.2.weight"][-1] *= 4
    return package


def test_it_is_lanes(dream):
    lanes: Lanes = dream
    assert lanes.num_lanes == 3
    assert lanes.observation_space.contains(dream.reset().observation[0])


def test_sampled_endings_are_as_frequent_as_predicted(lively):
    p, ended = one_decision(Dream(lively, 2048), 10)
    assert p.std() > 0.1, "the model must predict different probabilities for this to say much"
    spread = np.sqrt((p * (1 - p)).sum())
    assert abs(ended.sum() - p.sum()) < 4 * spread
    for low in np.arange(0.1, 0.9, 0.1):  # and so among those of like probability
        near = (p >= low) & (p < low + 0.1)
        if near.sum() > 200:
            spread = np.sqrt((p * (1 - p))[near].sum())
            assert abs(ended[near].sum() - p[near].sum()) < 4 * spread


def test_threshold_cuts_at_the_packages_value(lively):
    p, ended = one_decision(Dream(lively, 512, termination="threshold"), 2)
    np.testing.assert_array_equal(ended, p > 0.4)
    assert 0 < ended.mean() < 1


def test_none_never_terminates(lively):
    p, ended = one_decision(Dream(lively, 512, termination="none"), 2)
    assert p.max() > 0.5, "the prediction is still reported"
    assert not ended.any()


@pytest.mark.parametrize("tau", [0.25, 3.0])
def test_termination_temperature_divides_the_logit(lively, tau):
    plain, _ = one_decision(Dream(lively, 256, termination="none"), 1)
    warm, _ = one_decision(Dream(lively, 256, termination_temperature=tau, termination="none"), 1)
    logit = np.log(plain) - np.log1p(-plain)
    np.testing.assert_allclose(warm, 1 / (1 + np.exp(-logit / tau)), atol=1e-6)


def test_a_batch_may_mix_modes(lively):
    dream = Dream(lively, 300)
    dream.set_knobs(range(100), termination="none")
    dream.set_knobs(range(100, 200), termination="threshold")
    p, ended = one_decision(dream, 1)
    assert not ended[:100].any()
    np.testing.assert_array_equal(ended[100:200], p[100:200] > 0.4)
    assert 0 < ended[200:].mean() < 1


def test_the_horizon_truncates_and_nothing_else_does(small):
    dream = Dream(small, 3, horizon=5, termination="none")
    dream.set_knobs([2], horizon=1)
    shown = dream.reset(seeds=[0, 1, 2])
    for step in range(1, 13):
        over = shown.terminated | shown.truncated
        shown = dream.step(still(3), reset=over)
        assert not shown.terminated.any()
        # Five decisions, then the call that begins the next episode; lane 2 alternates.
        assert shown.truncated.tolist() == [step % 6 == 5, step % 6 == 5, step % 2 == 1]


def test_an_ending_at_the_horizon_is_terminated_and_not_truncated(lively):
    dream = Dream(lively, 512, horizon=1)
    dream.reset(seeds=range(512))
    shown = dream.step(still(512))
    assert not (shown.terminated & shown.truncated).any()
    assert (shown.terminated | shown.truncated).all()
    assert shown.terminated.any()
    assert shown.truncated.any()


def test_a_shortened_horizon_is_in_force_at_once(dream):
    dream.set_knobs(termination="none")
    for _ in range(4):
        dream.step(still(3))
    dream.set_knobs([1], horizon=2)
    assert dream.step(still(3)).truncated.tolist() == [False, True, False]


def test_a_fixed_temperature_is_in_force_at_once(small):
    dream = Dream(small, 2)
    dream.reset(seeds=[5, 5])
    dream.set_knobs([1], temperature=0.0)
    shown = dream.step(still(2))
    assert (shown.observation[0] != shown.observation[1]).any()
    cold = Dream(small, 1, temperature=0)
    cold.reset(seeds=[5])
    assert cold.step(still(1)).observation[0].tobytes() == shown.observation[1].tobytes()


def test_temperature_zero_is_the_mode_whatever_the_seed(small):
    dream = Dream(small, 50, temperature=0.0)
    dream.reset(seeds=range(50), options={"start": 3})
    shown = dream.step(still(50))
    assert len({row.tobytes() for row in shown.observation}) == 1


def test_ranges_are_drawn_evenly_and_at_each_episode(small):
    dream = Dream(small, 1000, temperature=[0.5, 1.5])
    draws = []
    for _ in range(3):
        dream.reset(seeds=range(1000) if not draws else None)
        draws.append(dream.snapshot().arrays["temperature"].copy())
    for draw in draws:
        assert stats.kstest(draw, stats.uniform(0.5, 1.0).cdf).pvalue > 1e-3
    assert stats.pearsonr(draws[0], draws[1]).pvalue > 1e-3
    dream.set_knobs(temperature=[0.1, 0.2])
    np.testing.assert_array_equal(dream.snapshot().arrays["temperature"], draws[2])
    dream.reset()
    later = dream.snapshot().arrays["temperature"]
    assert later.min() >= 0.1
    assert later.max() <= np.float32(0.2)


@pytest.mark.parametrize(("starts", "pool"), [("first", 20), ("any", 40)])
def test_starts_are_drawn_evenly_from_the_bank(small, starts, pool):
    """The first 20 of the 40 states began real episodes."""
    dream = Dream(small, 2000, starts=starts, obs="latent")
    shown = dream.reset(seeds=range(2000))
    bank = small.starts["z"].float().numpy()
    which = (shown.observation[:, None] == bank).all(-1)
    assert which.any(1).all(), "an episode began with a state that is not in the bank"
    counts = which.sum(0)
    assert stats.chisquare(counts[:pool]).pvalue > 1e-3
    assert counts[pool:].sum() == 0


def test_starts_can_be_named(small):
    dream = Dream(small, 3, obs="latent")
    bank = small.starts["z"].float().numpy()
    shown = dream.reset(options={"start": np.array([39, 0, 7])})
    np.testing.assert_array_equal(shown.observation, bank[[39, 0, 7]])
    shown = dream.step(still(3), reset=np.array([False, True, False]), options={"start": 5})
    np.testing.assert_array_equal(shown.observation[1], bank[5])


@pytest.mark.parametrize("shared", [True, False])
def test_a_dream_starts_from_real_observations(small, shared):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 4, 16, 16, 3), np.uint8)
    actions = rng.uniform(-1, 1, (3, 3, 3)).astype(np.float32)
    options = {"observations": frames, "actions": actions}
    if shared:
        options = {"observations": frames[0], "actions": actions[0]}
    dream = Dream(small, 3)
    shown = dream.reset(seeds=[1, 2, 3], options=options)
    model = small.world_model()
    for lane in range(3):
        own = 0 if shared else lane
        with torch.inference_mode():
            state = model.begin({"observation": torch.tensor(frames[own, :1])})
            for time in range(3):
                action = torch.tensor(actions[own, time : time + 1])
                frame = torch.tensor(frames[own, time + 1 : time + 2])
                state = model.posterior(state, action, frame)
            expected = model.observe(state, "features")[0]
        np.testing.assert_allclose(shown.observation[lane], expected, atol=1e-5)
    if shared:
        assert len({row.tobytes() for row in shown.observation}) == 1
    else:
        alone = Dream(small, 1)
        begun = alone.reset(seeds=[3], options={"observations": frames[2], "actions": actions[2]})
        assert begun.observation[0].tobytes() == shown.observation[2].tobytes()
    assert not shown.terminated.any()


def test_one_real_observation_needs_no_actions(small):
    frame = np.full((1, 16, 16, 3), 90, np.uint8)
    dream = Dream(small, 2, termination="none")
    dream.reset(seeds=[0, 1])
    before = dream.step(still(2)).observation
    mask = np.array([False, True])
    shown = dream.reset(mask, options={"observations": frame})
    np.testing.assert_array_equal(shown.observation[0], before[0])
    model = small.world_model()
    with torch.inference_mode():
        expected = model.observe(model.begin({"observation": torch.tensor(frame)}), "features")
    np.testing.assert_allclose(shown.observation[1], expected[0], atol=1e-5)


def test_a_reset_lane_ignores_its_action_and_the_rest_go_on(dream, small):
    dream.step(still(3))
    other = Dream(small, 3)
    other.reset(seeds=[10, 11, 12])
    other.step(still(3))
    actions = still(3)
    actions[1] = np.nan
    shown = dream.step(actions, reset=np.array([False, True, False]), seeds=[None, 77, None])
    expected = other.step(still(3))
    assert shown.observation[[0, 2]].tobytes() == expected.observation[[0, 2]].tobytes()
    assert shown.reward[1] == 0.0
    assert shown.info["termination_probability"][1] == 0.0
    fresh = Dream(small, 1).reset(seeds=[77])
    assert shown.observation[1].tobytes() == fresh.observation[0].tobytes()


def test_what_is_shown_is_bounded_and_the_users_own(small):
    tight = random_package({**SMALL, "latent_bound": 0.25})
    dream = Dream(tight, 4, termination="none")
    shown = dream.reset(seeds=range(4))
    for _ in range(5):
        shown = dream.step(still(4))
        assert all(dream.observation_space.contains(row) for row in shown.observation)
    assert np.abs(shown.observation).max() == 0.25

    ours, theirs = (Dream(small, 2, termination="none") for _ in range(2))
    for lanes in (ours, theirs):
        lanes.reset(seeds=[1, 2])
    for _ in range(3):
        spoilt = ours.step(still(2))
        for array in (spoilt.observation, spoilt.reward, *spoilt.info.values()):
            array[...] = 1e9
        kept = theirs.step(still(2))
    assert ours.step(still(2)).observation.tobytes() == theirs.step(still(2)).observation.tobytes()
    copy = kept.observation.copy()
    theirs.reset()
    np.testing.assert_array_equal(kept.observation, copy)


def test_pictures_are_the_decoded_latents(small):
    dream = Dream(small, 3, obs="pixels")
    shown = dream.reset(seeds=[1, 2, 3])
    assert shown.observation.dtype == np.uint8
    assert shown.observation.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(dream.render(), shown.observation)
    np.testing.assert_array_equal(dream.render([2, 0]), shown.observation[[2, 0]])
    with torch.inference_mode():
        latent = torch.tensor(dream.snapshot([1]).arrays["state.z"])
        expected = small.world_model().vae.picture(latent)[0].numpy()
    assert np.abs(shown.observation[1].astype(int) - expected.astype(int)).max() <= 1


def test_discrete_actions(actions_of):
    package = random_package({**SMALL, "action": 5}, discrete=True)
    dream = Dream(package, 2)
    dream.reset(seeds=[3, 3])
    shown = dream.step(np.array([0, 4]))
    assert (shown.observation[0] != shown.observation[1]).any()
    with pytest.raises(ValueError, match="lane 1: action is 5; expected an integer from 0 to 4"):
        dream.step(np.array([0, 5]))


def test_a_closed_dream_says_so(dream):
    dream.close()
    dream.close()
    with pytest.raises(RuntimeError, match="closed"):
        dream.step(still(3))


def threads_in_child(queue) -> None:
    queue.put(torch.get_num_threads())


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_uses_one_thread(dream):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=threads_in_child, args=(queue,))
        child.start()
        assert queue.get() == 1
        child.join()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
