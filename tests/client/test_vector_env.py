"""A batch of lanes as a Gymnasium vector env; Gymnasium's own SyncVectorEnv is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client import DreamEnv, DreamVectorEnv
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import BOX, toy_source

MODES = list(AutoresetMode)
some = settings(derandomize=True, deadline=None, max_examples=25)


def both(lanes, mode, **how):
    """A dream of that many lanes, and as many single dreams in Gymnasium's vector env."""
    dream = DreamVectorEnv(toy_source(**how), lanes, autoreset_mode=mode)
    oracle = SyncVectorEnv([lambda: DreamEnv(toy_source(**how))] * lanes, autoreset_mode=mode)
    return dream, oracle


def assert_same(dream, oracle):
    """Equal values, shapes, infos and masks; rewards are float32 here, float64 there."""
    if len(dream) == 5:
        assert dream[1].dtype == np.float32
        dream = (dream[0], dream[1].astype(np.float64), *dream[2:])
    assert data_equivalence(dream, oracle, exact=True), f"{dream}\n{oracle}"


@some
@given(
    mode=st.sampled_from(MODES),
    lanes=st.integers(1, 4),
    seed=st.integers(0, 2**70) | st.none(),
    steps=st.integers(1, 25),
    how=st.fixed_dictionaries({"shortest": st.integers(1, 3), "discrete": st.booleans()}),
    extra_resets=st.sets(st.integers(0, 24), max_size=3),
    draw=st.data(),
)
def test_every_answer_is_the_oracles(mode, lanes, seed, steps, how, extra_resets, draw):
    dream, oracle = both(lanes, mode, **how)
    if seed is None:
        first = dream.reset()
        assert_same(first, oracle.reset(seed=dream.np_random_seed))
    else:
        assert_same(dream.reset(seed=seed), oracle.reset(seed=seed))
    dream.action_space.seed(steps)
    for step in range(steps):
        actions = dream.action_space.sample()
        answer = dream.step(actions)
        assert_same(answer, oracle.step(actions))
        over = answer[2] | answer[3]
        if step in extra_resets:  # any lanes, over or not, with seeds or without
            mask = draw.draw(st.lists(st.booleans(), min_size=lanes, max_size=lanes).filter(any))
            over_left = mode is AutoresetMode.DISABLED
            mask = np.array(mask) | (over & over_left)
            again = draw.draw(st.none() | st.integers(0, 9) | st.just([7] * lanes))
            options = {"reset_mask": mask}
            mine = dream.reset(seed=again, options=options)
            assert options == {"reset_mask": mask}  # not popped from the caller's dict
            assert_same(mine, oracle.reset(seed=again, options=options))
        elif mode is AutoresetMode.DISABLED and over.any():
            assert_same(
                dream.reset(options={"reset_mask": over}),
                oracle.reset(options={"reset_mask": over}),
            )


@pytest.mark.parametrize("mode", MODES)
def test_answers_are_fresh(mode):
    dream, _ = both(3, mode, shortest=40)
    answers = [dream.reset(seed=0)] + [dream.step(dream.action_space.sample()) for _ in range(3)]
    arrays = [(answer[0], answer[-1]["x"], answer[-1]["_x"]) for answer in answers]
    flat = [array for three in arrays for array in three]
    for i, one in enumerate(flat):
        for two in flat[i + 1 :]:
            assert not np.shares_memory(one, two)


def test_same_step_keeps_the_last_observation_and_info():
    dream, _ = both(4, AutoresetMode.SAME_STEP)
    dream.reset(seed=0)
    for _ in range(20):
        observation, _, terminated, truncated, infos = dream.step(np.zeros((4, 2)))
        over = terminated | truncated
        if over.any():
            assert infos["_final_obs"].tolist() == over.tolist()
            for lane in np.flatnonzero(over):
                np.testing.assert_array_equal(
                    infos["final_obs"][lane], infos["final_info"]["x"][lane]
                )
                assert infos["final_info"]["clock"][lane] >= 3
                assert infos["clock"][lane] == 0
                np.testing.assert_array_equal(observation[lane], infos["x"][lane])
            return
    pytest.fail("no episode ended")


def test_lane_i_is_the_single_env_seeded_so():
    dream, _ = both(3, AutoresetMode.NEXT_STEP)
    for seeds in (10, [4, 4, 90]):
        observation, _ = dream.reset(seed=seeds)
        for lane, seed in enumerate([10, 11, 12] if seeds == 10 else seeds):
            env = DreamEnv(toy_source())
            np.testing.assert_array_equal(env.reset(seed=seed)[0], observation[lane])


def test_a_first_reset_with_some_seeds():
    dream, _ = both(3, AutoresetMode.NEXT_STEP)
    observation, _ = dream.reset(seed=[None, 5, None])
    np.testing.assert_array_equal(
        observation[[0, 2]], dream.reset(seed=dream.np_random_seed)[0][[0, 2]]
    )
    np.testing.assert_array_equal(observation[1], dream.reset(seed=[0, 5, 0])[0][1])


@pytest.mark.parametrize(
    ("seed", "options", "error", "message"),
    [
        ([1, 2], None, ValueError, "got 2 seeds; expected one for each of 3 lanes"),
        ("ab", None, ValueError, "expected"),
        (-1, None, ValueError, "expected an integer of at least 0"),
        ([1, 2, True], None, ValueError, "seed is True; expected an integer"),
        (None, {"reset_mask": [True, False, True]}, TypeError, "list; expected a NumPy array"),
        (None, {"reset_mask": np.ones(3)}, TypeError, "float64; expected a NumPy array of bool"),
        (None, {"reset_mask": np.ones(2, bool)}, ValueError, r"shape \(2,\); expected \(3,\)"),
        (None, {"reset_mask": np.zeros(3, bool)}, ValueError, "at least one True"),
        (7, {"track": 1}, ValueError, "unknown option"),
        (7, 5, ValueError, "options is 5; expected a dict"),
        (7, "abc", ValueError, "options is 'abc'; expected a dict"),
        (7, [], ValueError, r"options is \[\]; expected a dict"),
    ],
)
def test_bad_resets_change_nothing(seed, options, error, message):
    dream, _ = both(3, AutoresetMode.NEXT_STEP)
    dream.reset(seed=1)
    before, own_seed = dream.snapshot(), dream.np_random_seed
    with pytest.raises(error, match=message):
        dream.reset(seed=seed, options=options)
    assert data_equivalence(dream.snapshot().arrays, before.arrays, exact=True)
    assert dream.np_random_seed == own_seed


def test_options_reach_the_masked_lanes():
    dream, _ = both(3, AutoresetMode.DISABLED)
    before, _ = dream.reset(seed=1)
    mask = np.array([True, False, True])
    observation, infos = dream.reset(options={"reset_mask": mask, "start": [1, 2, 3]})
    np.testing.assert_allclose(observation[mask], [[0.1] * 3, [0.3] * 3])
    np.testing.assert_array_equal(observation[1], before[1])
    assert infos["_x"].tolist() == mask.tolist()


@pytest.mark.parametrize("mode", MODES)
def test_calls_out_of_order_are_refused(mode):
    dream, _ = both(2, mode)
    with pytest.raises(ResetNeeded, match="call reset first"):
        dream.step(np.zeros((2, 2)))
    with pytest.raises(ResetNeeded, match="first reset is of all"):
        dream.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match="call reset first"):
        dream.snapshot()
    dream.reset(seed=0)
    dream.close()
    dream.close()
    for call in (lambda: dream.step(np.zeros((2, 2))), dream.snapshot):
        with pytest.raises(ClosedEnvironmentError, match="closed"):
            call()


def test_disabled_refuses_to_step_a_lane_that_is_over():
    dream, _ = both(3, AutoresetMode.DISABLED)
    dream.reset(seed=0)
    over = np.zeros(3, bool)
    while not over.any():
        _, _, terminated, truncated, _ = dream.step(np.zeros((3, 2)))
        over = terminated | truncated
    before = dream.snapshot()
    with pytest.raises(ResetNeeded, match=rf"over in lanes \[{np.flatnonzero(over)[0]}"):
        dream.step(np.zeros((3, 2)))
    assert data_equivalence(dream.snapshot().arrays, before.arrays, exact=True)


def test_a_partial_reset_leaves_the_other_lanes_waiting():
    dream, oracle = both(3, AutoresetMode.NEXT_STEP)
    assert_same(dream.reset(seed=0), oracle.reset(seed=0))
    actions, over = np.zeros((3, 2)), np.zeros(3, bool)
    while not over.any() or over.all():
        answer = dream.step(actions)
        assert_same(answer, oracle.step(actions))
        over = answer[2] | answer[3]
    mine = dream.reset(options={"reset_mask": ~over})
    assert_same(mine, oracle.reset(options={"reset_mask": ~over}))
    for _ in range(4):
        assert_same(dream.step(actions), oracle.step(actions))


def test_next_step_ignores_the_action_of_a_lane_that_begins():
    dream, oracle = both(2, AutoresetMode.NEXT_STEP)
    dream.reset(seed=0)
    oracle.reset(seed=0)
    over = np.zeros(2, bool)
    for _ in range(30):
        actions = np.where(over[:, None], np.nan, np.zeros((2, 2), np.float32))
        answer = dream.step(actions)
        assert_same(answer, oracle.step(actions))
        over = answer[2] | answer[3]


def test_metadata_modes_and_spaces():
    dream = DreamVectorEnv(toy_source(), 3, autoreset_mode="SameStep", render_mode="rgb_array")
    assert dream.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert dream.metadata["render_fps"] == 12.5
    assert DreamVectorEnv(toy_source()).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert dream.observation_space.shape == (3, 3)
    assert dream.single_action_space == BOX
    with pytest.raises(ValueError, match="never"):
        DreamVectorEnv(toy_source(), 3, autoreset_mode="never")
    for num_envs in (0, -1):
        with pytest.raises(ValueError, match="expected at least 1"):
            DreamVectorEnv(toy_source(), num_envs)


def test_render_gives_a_frame_a_lane():
    dream = DreamVectorEnv(toy_source(), 3, render_mode="rgb_array")
    dream.reset(seed=0, options={"start": [-10, 0, 10]})
    frames = dream.render()
    assert isinstance(frames, tuple)
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 127, 254]
    dream = DreamVectorEnv(toy_source(), 3)
    with pytest.warns(UserWarning, match="without a render mode"):
        assert dream.render() is None


def test_gymnasiums_statistics_wrapper():
    envs = RecordEpisodeStatistics(DreamVectorEnv(toy_source(), 2))
    envs.reset(seed=0)
    total, lengths = np.zeros(2), []
    for _ in range(30):
        _, reward, terminated, truncated, infos = envs.step(envs.action_space.sample())
        total += reward
        for lane in np.flatnonzero(terminated | truncated):
            assert infos["episode"]["r"][lane] == pytest.approx(total[lane], rel=1e-4)
            lengths.append(infos["episode"]["l"][lane])
            total[lane] = 0
    assert len(lengths) > 4
    assert min(lengths) >= 3
