"""Dreams that do not tell how unsure they are: cheaper, and otherwise the same."""

from __future__ import annotations

import numpy as np
import pytest

from dreamenv.dream import Dream
from dreamenv.learn_defaults import parse_settings
from dreamenv.make import dream_source, make_vector_env
from dreamenv.models.propagation import PROPAGATIONS
from dreamenv.packages import Package


@pytest.fixture(scope="module")
def unsure(make_unsure_package) -> Package:
    return make_unsure_package()


def walk(dream: Dream, steps: int = 30) -> list:
    """Lanes of seeds 0, 1, …, under the same actions whoever else is there."""
    actions = np.random.default_rng(1).uniform(-1, 1, (steps, 64, 3)).astype(np.float32)
    shown = [dream.reset(seeds=range(dream.num_lanes))]
    for action in actions:
        over = shown[-1].terminated | shown[-1].truncated
        shown.append(dream.step(action[: dream.num_lanes], reset=over))
    return shown


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_all_but_the_uncertainty_is_as_told(unsure, propagation):
    told = walk(Dream(unsure, 37, propagation=propagation))
    untold = walk(Dream(unsure, 37, propagation=propagation, uncertainty=False))
    for own, other in zip(untold, told, strict=True):
        assert list(own.info) == ["termination_probability"]
        assert list(other.info) == ["uncertainty", "termination_probability"]
        # The same sums, of fewer members at once.
        np.testing.assert_allclose(own.observation, other.observation, atol=1e-3)
        np.testing.assert_allclose(own.reward, other.reward, atol=1e-3)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_lane_is_the_same_alone_as_among_others(unsure, propagation):
    dreams = [
        Dream(unsure, lanes, propagation=propagation, uncertainty=False) for lanes in (1, 3, 64)
    ]
    for alone, few, many in zip(*map(walk, dreams), strict=True):
        for name in ("observation", "reward", "terminated", "truncated"):
            one, three, all_ = (getattr(shown, name) for shown in (alone, few, many))
            assert one[0].tobytes() == three[0].tobytes() == all_[0].tobytes(), name
            assert three.tobytes() == all_[:3].tobytes(), name


def test_a_model_that_is_not_asked_computes_no_others(unsure):
    """Weights of a member that no lane follows may be anything."""
    weights = {
        name: tensor.clone() if name.startswith(("dynamics", "outcome")) else tensor
        for name, tensor in unsure.weights.items()
    }
    for name, tensor in weights.items():
        if name.startswith(("dynamics", "outcome")):
            tensor[1:] = 1e30
    wild = Package(unsure.config, weights, unsure.starts)
    knobs = {"propagation": "member", "uncertainty": False}
    for own, other in zip(
        walk(Dream(wild, 5, **knobs)), walk(Dream(unsure, 5, **knobs)), strict=True
    ):
        assert own.observation.tobytes() == other.observation.tobytes()


@pytest.mark.parametrize("knob", ["trust_penalty", "trust_limit"])
def test_trust_needs_uncertainty(unsure, unsure_package, make_unsure_package, knob):
    message = f"uncertainty is False, but {knob} is 0.5; expected 0 beside it"
    with pytest.raises(ValueError, match=message):
        Dream(unsure, 1, uncertainty=False, **{knob: 0.5})
    with pytest.raises(ValueError, match=message):
        dream_source(unsure_package, uncertainty=False, **{knob: 0.5})
    source = dream_source(unsure_package, uncertainty=False, **{knob: 0})
    with pytest.raises(ValueError, match=f"{knob} is 0.5; expected 0"):
        source.check_knobs(**{knob: 0.5})
    dream = Dream(unsure, 2, uncertainty=False, **{knob: 0.0})
    dream.reset(seeds=[1, 2])
    with pytest.raises(ValueError, match=f"{knob} is 0.5; expected 0"):
        dream.set_knobs([1], **{knob: 0.5})
    trusting = Dream(unsure, 2, **{knob: 0.5})
    trusting.reset(seeds=[1, 2])
    with pytest.raises(ValueError, match=f"{knob} reaches 0.5; expected 0"):
        dream.restore(trusting.snapshot())
    own = make_unsure_package(defaults={knob: 0.5})
    with pytest.raises(ValueError, match=f"{knob} is 0.5, which is the default of unsure"):
        Dream(own, 1, uncertainty=False)
    Dream(own, 1, uncertainty=False, **{knob: 0}).close()


def test_told_and_untold_dreams_take_each_others_snapshots(unsure):
    told, untold = Dream(unsure, 2), Dream(unsure, 2, uncertainty=False)
    assert told.fingerprint != untold.fingerprint
    walk(told, 3)
    there = untold.restore(told.snapshot())
    assert there.observation.tobytes() == told.restore(told.snapshot()).observation.tobytes()


@pytest.mark.parametrize("bad", ["no", 0, 1.0])
def test_uncertainty_is_yes_or_no(unsure, unsure_package, bad):
    message = f"uncertainty is {bad!r}; expected True or False"
    with pytest.raises(ValueError, match=message):
        Dream(unsure, 1, uncertainty=bad)
    with pytest.raises(ValueError, match=message):
        dream_source(unsure_package, uncertainty=bad)


def test_families_that_cannot_tell_have_nothing_to_leave_out(small):
    plain, untold = Dream(small, 3), Dream(small, 3, uncertainty=False)
    assert plain.fingerprint == untold.fingerprint
    for own, other in zip(walk(untold, 5), walk(plain, 5), strict=True):
        assert list(own.info) == list(other.info)
        assert own.observation.tobytes() == other.observation.tobytes()


def test_it_is_a_keyword_of_vector_envs_and_of_learning(unsure_package):
    envs = make_vector_env(unsure_package, num_envs=3, uncertainty=False)
    assert "uncertainty" not in envs.reset(seed=1)[1]
    assert "uncertainty" not in envs.step(np.zeros((3, 3), np.float32))[4]
    envs.close()
    assert parse_settings(["uncertainty=false"]) == ({"uncertainty": False}, {})
