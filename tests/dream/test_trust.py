"""Trust: what the model's uncertainty costs, and where it ends an episode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.config import TrustScale
from dreamenv.dream import Dream
from dreamenv.dream.trust import beyond, in_units
from dreamenv.errors import PackageError
from dreamenv.make import dream_source
from dreamenv.packages import Package

from .test_any_sequence import LANES, Batch, calls_with

STEPS = 40


@pytest.fixture(scope="module")
def unsure(make_unsure_package) -> Package:
    return make_unsure_package()


def walk(dream: Dream, seeds: list[int], steps: int = STEPS):
    """Every lane under the same actions; those that are over begin anew."""
    actions = np.random.default_rng(1).uniform(-1, 1, (steps, 1, 3)).astype(np.float32)
    over = np.zeros(dream.num_lanes, bool)
    dream.reset(seeds=seeds)
    shown = []
    for action in actions:
        shown.append(dream.step(np.repeat(action, dream.num_lanes, axis=0), reset=over))
        over = shown[-1].terminated | shown[-1].truncated
    return shown


def test_uncertainty_is_in_units_of_the_95th_percentile(unsure):
    """Against the members themselves."""
    dream, model = Dream(unsure, 5, termination="none"), unsure.world_model()
    dream.reset(seeds=range(5))
    for action in np.random.default_rng(0).uniform(-1, 1, (6, 5, 3)).astype(np.float32):
        state = torch.tensor(dream.snapshot().arrays["state.s"])
        member = torch.zeros(5, dtype=torch.long)
        with torch.inference_mode():
            raw = model.uncertainty({"s": state, "member": member}, torch.tensor(action))
        found = dream.step(action).info["uncertainty"]
        assert found.dtype == np.float32
        expected = raw.epistemic.numpy() / unsure.config.trust.quantiles[95]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert found.std() > 0.01, "lanes must differ for this to say much"


def test_a_family_may_tell_where_the_package_has_no_scale(unsure):
    raw = Dream(replace(unsure, config=unsure.config.model_copy(update={"trust": None})), 2)
    scaled = Dream(unsure, 2)
    for own, other in zip(walk(raw, [1, 2]), walk(scaled, [1, 2]), strict=True):
        unit = unsure.config.trust.unit
        expected = own.info["uncertainty"] / unit
        np.testing.assert_allclose(other.info["uncertainty"], expected, rtol=1e-6)
        assert own.reward.tobytes() == other.reward.tobytes()


def test_the_penalty_comes_off_the_reward_and_touches_nothing_else(unsure):
    penalties = np.array([0.0, 0.25, 1.0, 40.0], np.float32)
    dream = Dream(unsure, 4, termination="none")
    for lane, penalty in enumerate(penalties):
        dream.set_knobs([lane], trust_penalty=float(penalty))
    for shown in walk(dream, [7] * 4):
        assert len({row.tobytes() for row in shown.observation}) == 1
        unsureness = shown.info["uncertainty"]
        assert len(set(unsureness.tolist())) == 1
        np.testing.assert_array_equal(shown.reward, shown.reward[0] - penalties * unsureness)


@pytest.mark.parametrize("limit", [0.02, 0.5, 0.9, 0.995, 1.0, 1.2])
def test_an_episode_is_truncated_where_the_limit_is_first_passed(unsure, limit):
    """A lane with a limit, beside its twin without."""
    dream = Dream(unsure, 40, termination="none", horizon=1000)
    limited = np.arange(40) < 20
    dream.set_knobs(np.flatnonzero(limited).tolist(), trust_limit=limit)
    dream.reset(seeds=[*range(20), *range(20)])
    bound, over = unsure.config.trust.limit(limit), np.zeros(40, bool)
    ends = 0
    for action in np.random.default_rng(1).uniform(-1, 1, (STEPS, 1, 3)):
        # Those that are over begin an episode, and are left out from then on.
        shown = dream.step(np.repeat(action, 40, axis=0).astype(np.float32), reset=over)
        twin = np.tile(shown.info["uncertainty"][20:], 2)
        expected = limited & (twin > bound) & ~over
        watched = ~over
        np.testing.assert_array_equal((shown.truncated & limited)[watched], expected[watched])
        assert not shown.terminated.any()
        ends += expected.sum()
        over = over | shown.truncated
    assert not over[20:].any()
    assert ends > 0


def test_a_limit_at_a_quantile_stops_as_many_as_it_says(unsure):
    """Where decisions are as held-out ones are, the share 1 - q of them is beyond q."""
    dream = Dream(unsure, 2000, termination="none")
    dream.reset(seeds=range(2000))
    actions = np.random.default_rng(3).uniform(-1, 1, (2000, 3)).astype(np.float32)
    raw = dream.step(actions).info["uncertainty"] * unsure.config.trust.unit
    held_out = TrustScale(quantiles=np.quantile(raw, np.linspace(0, 1, 101)).tolist())
    measured = replace(unsure, config=unsure.config.model_copy(update={"trust": held_out}))
    for q in (0.2, 0.75, 0.99):
        dream = Dream(measured, 2000, termination="none", trust_limit=q)
        dream.reset(seeds=range(2000))
        assert dream.step(actions).truncated.mean() == pytest.approx(1 - q, abs=0.002)


def test_an_ending_where_the_limit_is_passed_is_terminated(make_unsure_package):
    dying = make_unsure_package(ending_logit=20.0)
    dream = Dream(dying, 6, trust_limit=1e-6, termination="threshold")
    dream.set_knobs([0, 1], termination="none")
    dream.reset(seeds=range(6))
    shown = dream.step(np.zeros((6, 3), np.float32))
    assert (shown.info["uncertainty"] > dying.config.trust.limit(1e-6)).all()
    assert shown.terminated.tolist() == [False, False, True, True, True, True]
    assert shown.truncated.tolist() == [True, True, False, False, False, False]


def test_a_packages_defaults_can_be_switched_off(make_unsure_package):
    package = make_unsure_package(defaults={"trust_penalty": 2.0, "trust_limit": 0.5})
    arrays = Dream(package, 2).snapshot().arrays
    assert (arrays["trust_penalty"] == 2.0).all()
    assert (arrays["trust_limit"] == 0.5).all()
    off = Dream(package, 1, trust_penalty=0, trust_limit=0, termination="none", horizon=1000)
    plain = Dream(make_unsure_package(), 1, termination="none", horizon=1000)
    for own, other in zip(walk(off, [3]), walk(plain, [3]), strict=True):
        assert own.reward.tobytes() == other.reward.tobytes()
        assert not own.truncated.any()


def test_infos_are_the_same_arrays_whatever_was_called(unsure):
    """In one order, as the wire needs; 0 for lanes that were not stepped."""
    dream = Dream(unsure, 3)
    names = ["uncertainty", "termination_probability"]
    assert list(dream.reset(seeds=[1, 2, 3]).info) == names
    shown = dream.step(np.zeros((3, 3), np.float32), reset=np.array([True, False, False]))
    assert list(shown.info) == names
    assert shown.info["uncertainty"][0] == shown.reward[0] == 0.0
    assert (shown.info["uncertainty"][1:] > 0.0).all()
    again = dream.restore(dream.snapshot())
    assert list(again.info) == names
    assert not again.info["uncertainty"].any()


scales = st.lists(st.floats(0, 1e30), min_size=101, max_size=101).map(sorted)


@given(
    scales.filter(lambda q: q[95] > 0),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=9),
    st.lists(st.floats(0, 2.0**127, width=32), min_size=9, max_size=9),
)
def test_any_scale_gives_numbers_and_each_lane_its_own_limit(quantiles, asked, raw):
    scale = TrustScale(quantiles=quantiles)
    units = in_units(np.array(raw[: len(asked)], np.float32), scale)
    assert np.isfinite(units).all()
    together = beyond(units, np.array(asked), scale)
    for lane, limit in enumerate(asked):
        alone = beyond(units[lane : lane + 1], np.array([limit]), scale)
        assert alone[0] == together[lane]
        if limit == 0.0:
            assert not alone[0]
        elif not np.isclose(units[lane], scale.limit(limit), rtol=1e-6):
            assert alone[0] == (units[lane] > scale.limit(limit))


@pytest.fixture(scope="module")
def batch(unsure) -> Batch:
    return Batch(unsure, trust_penalty=0.5, trust_limit=0.9)


TRUST = {
    "trust_penalty": st.sampled_from([0.0, 0.3, 5.0]),
    "trust_limit": st.sampled_from([0.0, 0.3, 0.9, 1.5]),
}


@settings(max_examples=30)
@given(st.lists(calls_with(TRUST), max_size=12))
def test_any_sequence_of_calls_with_trust_is_that_of_single_lanes(batch, sequence):
    """Snapshots, branches and knobs of single lanes among them."""
    batch.begin()
    for call, first, second in sequence:
        getattr(batch, call)(first, second)
    batch.step(3, 0)
    assert batch.together.num_lanes == LANES


@pytest.mark.parametrize("knob", ["trust_penalty", "trust_limit"])
def test_a_package_that_cannot_tell_takes_no_trust(small, tiny_package, knob):
    message = f"{knob} is 0.5; expected 0: .* cannot tell how unsure it is"
    with pytest.raises(ValueError, match=message):
        Dream(small, 1, **{knob: 0.5})
    with pytest.raises(ValueError, match=message):
        dream_source(tiny_package, **{knob: 0.5})
    with pytest.raises(ValueError, match=message):
        dream_source(tiny_package).check_knobs(**{knob: 0.5})
    dream = Dream(small, 2, **{knob: 0.0})
    dream.reset(seeds=[1, 2])
    with pytest.raises(ValueError, match=message):
        dream.set_knobs([1], horizon=3, **{knob: 0.5})
    assert (dream.snapshot().arrays["horizon"] == 60).all()
    dream_source(tiny_package, **{knob: 0.0}).check_knobs(**{knob: 0.0})


def test_a_scale_of_trust_for_a_model_that_cannot_tell_is_refused(small, unsure):
    config = small.config.model_copy(update={"trust": unsure.config.trust})
    with pytest.raises(PackageError, match="trust: expected none"):
        Dream(replace(small, config=config), 1)


@pytest.mark.parametrize("knob", ["trust_penalty", "trust_limit"])
def test_snapshots_with_forged_trust(small, unsure, knob):
    def forged(dream: Dream, value: float):
        taken = dream.snapshot()
        array = taken.arrays[knob].copy()
        array[0] = value
        return replace(taken, arrays={**taken.arrays, knob: array})

    dream = Dream(unsure, 2)
    dream.reset(seeds=[1, 2])
    for value in (-0.5, 2e6, np.nan, np.inf):
        with pytest.raises(ValueError, match=knob):
            dream.restore(forged(dream, value))
    dream.restore(forged(dream, 0.5))
    assert dream.snapshot().arrays[knob].tolist() == [0.5, 0.0]
    deaf = Dream(small, 2)
    deaf.reset(seeds=[1, 2])
    with pytest.raises(ValueError, match=f"{knob} reaches 0.5; expected 0"):
        deaf.restore(forged(deaf, 0.5))
