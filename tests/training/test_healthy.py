"""The range of states in which episodes go on: found where there is one, and only there."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dreamenv.models.ensemble import Ensemble, EnsembleSizes
from dreamenv.progress import silent
from dreamenv.threads import one_torch_thread
from dreamenv.training.ensemble import EnsembleConfig, begin_endings, fit_ensemble
from dreamenv.training.healthy import find_sides, with_healthy_range
from dreamenv.training.transitions import Transitions
from dreamenv.training.units import fit_units

SIZES = EnsembleSizes(observation=3, action=1, members=3, elites=2, hidden=8, layers=1, outcome=24)


def states(count: int, numbers: int, seed: int) -> Tensor:
    return torch.randn(count, numbers, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    numbers=st.integers(1, 6),
    bounds=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from((1, -1)), st.floats(1.0, 2.0)),
        min_size=1,
        max_size=3,
        unique_by=lambda side: side[:2],
    ),
)
def test_a_rule_of_intervals_is_found(seed, numbers, bounds):
    """Whatever its sides: of other states as well, all but those in the gap that no datum told."""
    bounds = [(number % numbers, sign, at) for number, sign, at in bounds]
    seen, unseen = states(3000, numbers, seed), states(3000, numbers, seed + 1)

    def over(s: Tensor) -> Tensor:
        return torch.stack([sign * s[:, number] > at for number, sign, at in bounds]).any(0)

    sides, unexplained = find_sides(seen, over(seen))
    assert unexplained == 0
    said = torch.zeros(len(unseen), dtype=torch.bool)
    unsure = torch.zeros_like(said)
    for side in sides:
        outwards = side.sign * unseen[:, side.number]
        assert side.sign * side.last < side.sign * side.bound < side.sign * side.first
        said |= outwards > side.sign * side.bound
        unsure |= (outwards > side.sign * side.last) & (outwards < side.sign * side.first)
    wrong = said != over(unseen)
    assert int((wrong & ~unsure).sum()) <= 3  # a side so rare that no datum, or one, was beyond it
    known = {(side.number, side.sign) for side in sides}
    assert known <= {(number, sign) for number, sign, _ in bounds}


def test_endings_that_states_do_not_tell_are_left_unexplained():
    s = states(5000, 4, seed=0)
    over = torch.rand(5000, generator=torch.Generator().manual_seed(1)) < 0.05
    sides, unexplained = find_sides(s, over)
    assert unexplained > 0.95 * int(over.sum()), sides


@pytest.mark.parametrize(("went_on", "found"), [(38, False), (39, True)])
def test_one_ending_is_explained_where_that_is_no_accident(went_on, found):
    """It is the farthest of N + 1 alike with probability 1 / (N + 1), on either side."""
    s = torch.cat([torch.linspace(-1, 1, went_on), torch.tensor([1.1])])[:, None]
    sides, unexplained = find_sides(s, torch.arange(went_on + 1) == went_on)
    assert (len(sides), unexplained) == ((1, 0) if found else (0, 1))
    if found:
        assert (sides[0].number, sides[0].sign) == (0, 1)
        assert (sides[0].last, sides[0].first) == pytest.approx((1.0, 1.1))


def test_of_two_sides_that_explain_as_much_the_clearer_is_taken():
    s = states(2000, 2, seed=3).clamp(-2, 2)
    over = torch.tensor([[2.1, 9.0], [2.2, 8.0]])
    ended = torch.arange(2002) >= 2000
    sides, _ = find_sides(torch.cat([s, over]), ended)
    assert [(side.number, side.sign) for side in sides] == [(1, 1)]
    assert sides[0].first == 8.0


@pytest.mark.parametrize("ended", [False, True])
def test_nothing_is_found_where_all_or_none_ended(ended):
    assert find_sides(states(50, 3, seed=0), torch.full((50,), ended)) == ([], 50 * ended)


def transitions(count: int, seed: int, rule) -> Transitions:
    """Of states in units of tens, about a hundred; ``rule`` is of the states in units of one."""
    s = states(2 * count, 3, seed)
    before, after = s[:count], s[count:]
    return Transitions(
        observation=before * 10 + 100,
        action=torch.zeros(count, 1),
        following=after * 10 + 100,
        reward=after[:, 0],
        terminated=rule(after).float(),
    )


def fitted(rule, tmp_path) -> tuple[Ensemble, Transitions, Transitions]:
    data, held_out = transitions(3000, 1, rule), transitions(1000, 2, rule)
    torch.manual_seed(0)
    model = Ensemble(SIZES)
    fit_units(model, data)
    begin_endings(model, data)
    config = EnsembleConfig(steps=300, learning_rate=1e-2)
    with one_torch_thread():
        fit_ensemble(model, data, held_out, config, seed=0, folder=tmp_path, progress=silent)
    return model.eval(), data, held_out


@pytest.fixture(scope="module")
def above(tmp_path_factory) -> tuple[Ensemble, Transitions, Transitions]:
    """A fit on episodes that end where the first number is above 110."""
    return fitted(lambda s: s[:, 0] > 1.0, tmp_path_factory.mktemp("above"))


def said(model: Ensemble, data: Transitions) -> Tensor:
    """Probability of the endings of true transitions, ``[elites, N]``."""
    s, following = model.normalised(data.observation), model.normalised(data.following)
    with torch.no_grad():
        judged = model.outcome.every(torch.cat([s, data.action, following], 1), SIZES.elites)
        return torch.sigmoid(model.ending(judged, following))


def test_a_model_ends_episodes_by_the_range_that_data_show(tmp_path):
    model, data, held_out = fitted(lambda s: (s[:, 0] < -1.0) | (s[:, 2] > 1.5), tmp_path)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    ranged, sides = with_healthy_range(model, data, held_out)
    assert ranged.sizes == dataclasses.replace(SIZES, healthy_range=1)
    found = {(side.number, side.sign): side.bound for side in sides}
    assert found == {
        (0, -1): pytest.approx(90.0, abs=0.2),
        (2, 1): pytest.approx(115.0, abs=0.2),
    }
    new = transitions(20_000, 9, lambda s: (s[:, 0] < -1.0) | (s[:, 2] > 1.5))
    probability, ends = said(ranged, new), new.terminated > 0.5
    assert torch.equal(probability[0], probability[1])
    assert float(((probability[0] > 0.5) == ends).float().mean()) > 0.999
    # All else is as it was, and the networks still say what they said.
    kept = ranged.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in before.items())
    assert not ranged.training
    networks = said(model, new)
    assert ((networks.mean(0) > 0.5) == ends).float().mean() < 0.999


def test_networks_say_where_episodes_end_otherwise(tmp_path):
    """By two numbers at once: no interval of one tells."""
    model, data, held_out = fitted(lambda s: (s[:, 0] > 0.5) & (s[:, 1] > 0.5), tmp_path)
    same, sides = with_healthy_range(model, data, held_out)
    assert same is model
    assert sides == []


def test_a_range_that_held_out_decisions_refute_is_not_taken(above):
    model, data, held_out = above
    misled = dataclasses.replace(data, terminated=((data.following[:, 1] - 100) / 10 > 1.0).float())
    same, sides = with_healthy_range(model, misled, held_out)
    assert same is model
    assert sides == []


def test_what_is_sure_and_what_is_half_way(above):
    """Logits of ±6 at the data on either side of a bound, 0 between them, within ±15 anywhere."""
    model, data, held_out = above
    ranged, (side,) = with_healthy_range(model, data, held_out)
    places = torch.tensor([side.last, side.bound, side.first, -1e9, 1e9])
    observation = torch.full((5, 3), 100.0)
    observation[:, 0] = places
    logits = ranged.healthy(ranged.normalised(observation))
    expected = [-6.0, 0.0, 6.0, -15.0, 15.0]
    np.testing.assert_allclose(logits.numpy(), expected, atol=0.05)
    assert math.isclose(side.bound, (side.last + side.first) / 2)
