"""Members as one batched product, against each of them as an ordinary network."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dreamenv.models.members import (
    GRAIN,
    GROUP_ROWS,
    VECTOR,
    Members,
    _silu,
    seats,
    shared_evenly,
)

WIDTHS = (5, 16, 12, 6)
"""Six outputs, which are padded to eight."""


@pytest.fixture(scope="module", autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def some_members(count: int = 4, widths: tuple[int, ...] = WIDTHS) -> Members:
    torch.manual_seed(0)
    members = Members(count, widths)
    for bias in members.biases:
        bias.normal_()
    return members


def alone(members: Members, index: int) -> nn.Sequential:
    """One member in torch's own layers."""
    parts: list[nn.Module] = []
    for weight, bias in zip(members.weights, members.biases, strict=True):
        layer = nn.Linear(*weight.shape[1:])
        layer.weight.copy_(weight[index].T)
        layer.bias.copy_(bias[index, 0])
        parts += [layer, nn.SiLU()]
    return nn.Sequential(*parts[:-1])


def rows_of(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, WIDTHS[0], generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_a_member_is_the_network_of_its_weights(rows):
    members, inputs = some_members(), rows_of(rows)
    expected = torch.stack([alone(members, i)(inputs)[:, : WIDTHS[-1]] for i in range(4)])
    assert expected.std(0).min() > 0.01, "members must differ for this to say much"
    assert torch.allclose(members.every(inputs, 4), expected, atol=1e-5)
    assert torch.allclose(members.every(inputs, 2), expected[:2], atol=1e-5)
    apart = torch.stack([inputs + i for i in range(3)])
    expected = torch.stack([alone(members, i)(apart[i])[:, : WIDTHS[-1]] for i in range(3)])
    assert torch.allclose(members(apart), expected, atol=1e-5)


def test_a_network_of_one_layer_is_linear():
    members, inputs = some_members(2, (5, 3)), rows_of(4)
    layer = alone(members, 1)
    assert len(layer) == 1
    assert torch.allclose(members.every(inputs, 2)[1], layer(inputs)[:, :3], atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=70))
def test_a_rows_own_member_is_picked_from_all(chosen):
    members, inputs, member = some_members(), rows_of(len(chosen)), torch.tensor(chosen)
    own = members.own(inputs, seats(member, 4))
    every = members.every(inputs, 4)
    assert own.shape == (len(chosen), WIDTHS[-1])
    assert torch.allclose(own, every[member, torch.arange(len(chosen))], atol=1e-5)


@pytest.mark.parametrize("lanes", [1, GROUP_ROWS, GROUP_ROWS + 1, 300])
@pytest.mark.parametrize("member", [0, 3])
def test_all_rows_may_follow_one_member(lanes, member):
    members, inputs = some_members(), rows_of(lanes)
    own = members.own(inputs, seats(torch.full((lanes,), member), 4))
    assert torch.allclose(own, members.every(inputs, 4)[member], atol=1e-5)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


# Of 5 · 512 · 64 numbers, a third is no multiple of what torch computes at once; nor is the whole
# of 5 · 16 · 33.
@pytest.mark.parametrize(("lanes", "hidden"), [(512, 64), (GROUP_ROWS, 33)])
def test_a_row_is_bitwise_the_same_wherever_it_stands(threads, lanes, hidden):
    """All rows are equal and follow one member: so is what they become, whichever the threads."""
    members = some_members(5, (WIDTHS[0], hidden, hidden, WIDTHS[-1]))
    for member in (1, 4):
        seated = seats(torch.full((lanes,), member), 5)
        for row in rows_of(20):
            found = members.own(row.expand(lanes, -1), seated)
            assert torch.equal(found, found[:1].expand_as(found))


@given(count=st.integers(0, 400_000), threads=st.integers(1, 64))
def test_threads_share_whole_vectors(count, threads):
    """As ``at::parallel_for`` shares out: as many threads as have a grain each, equal shares."""
    even = shared_evenly(count, threads)
    shares = max(1, min(threads, math.ceil(even / GRAIN)))
    assert math.ceil(even / shares) % VECTOR == 0
    assert 0 <= count - even < VECTOR * threads


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 200_000),
    threads=st.integers(1, 4),
    number=st.floats(-20.0, 20.0, width=32),
)
def test_a_numbers_silu_is_the_same_wherever_it_stands(count, threads, number):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        value = torch.full((count,), number)
        assert torch.equal(_silu(value.clone()), _silu(value[:1].clone()).expand(count))
    finally:
        torch.set_num_threads(before)


def test_with_gradients_members_say_the_same():
    with torch.inference_mode(False):
        members, inputs = Members(2, WIDTHS), torch.ones(2, 32, WIDTHS[0])
        found = members(inputs)
        found.square().sum().backward()
        assert all(float(weight.grad.abs().sum()) > 0 for weight in members.weights)
    assert torch.allclose(members(inputs), found, atol=1e-6)
    assert torch.equal(inputs, torch.ones_like(inputs))


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1)))))
def test_every_lane_has_a_seat_of_its_own_in_its_members_group(drawn):
    groups, chosen = drawn
    if not chosen:
        chosen = [0]
    seated = seats(torch.tensor(chosen), groups)
    slots = seated.slot.tolist()
    assert len(set(slots)) == len(slots)
    assert [slot // seated.rows for slot in slots] == chosen
    assert seated.groups == groups
    # As many rows as the fullest group needs, and fewer than one padding more.
    fullest = max(map(chosen.count, chosen))
    assert seated.rows % GROUP_ROWS == 0
    assert fullest <= seated.rows < fullest + GROUP_ROWS


def test_members_begin_apart_and_layers_keep_their_inputs_size():
    """Within two deviations of 1 / √inputs, as Chua et al. truncate them."""
    torch.manual_seed(0)
    members = Members(5, (400, 300, 8))
    for weight, inputs in zip(members.weights, (400, 300), strict=True):
        assert float(weight.abs().max()) <= 2 * inputs**-0.5
        # A normal cut at ±2 deviations has 0.880 of its deviation.
        assert float(weight.std()) == pytest.approx(0.880 * inputs**-0.5, rel=0.05)
    found = members.every(torch.randn(3, 400), 5)
    assert found.std(0).min() > 0.05
