"""The few lengths that batches of any number of rows are padded to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamenv.dream import Dream
from dreamenv.dream import imagination as imagination_module
from dreamenv.dream.lengths import Length, Lengths
from dreamenv.dream.rows import RowPlan, plan_rows

POOL = {"x": torch.randn(64, 5, generator=torch.Generator().manual_seed(0))}


@given(multiple=st.sampled_from([1, 2, 4, 16, 64]), whole=st.integers(1, 5000))
def test_lengths_are_few_and_waste_little(multiple, whole):
    lengths = Lengths(lambda _: RowPlan(multiple), whole)
    units = []
    for rows in {*range(1, min(whole, 300)), whole - 1, whole} - {0}:
        length = lengths.of(rows).rows
        assert length % multiple == 0
        least = -(-rows // multiple)
        assert least <= length // multiple <= least * 9 / 8
        if rows != whole:
            units.append(length // multiple)
    assert lengths.of(whole).rows == -(-whole // multiple) * multiple
    for octave in range(12):
        assert len({u for u in units if 2**octave < u <= 2 ** (octave + 1)}) <= 8


@given(multiple=st.sampled_from([1, 4, 16]), whole=st.integers(1, 600))
def test_all_lengths_are_those_of_any_number_of_rows(multiple, whole):
    lengths = Lengths(lambda _: RowPlan(multiple), whole)
    found = {lengths.of(rows).rows for rows in lengths.all()}
    assert found == {lengths.of(rows).rows for rows in range(1, whole + 1)}


@pytest.mark.parametrize("plan", [RowPlan(64, tile=64), RowPlan(stable=False)])
def test_where_lengths_are_not_tried_they_are_not_rounded(plan):
    lengths = Lengths(lambda _: plan, 1000)
    assert [lengths.of(rows) for rows in (3, 65, 999)] == [
        Length(plan.padded(rows), plan) for rows in (3, 65, 999)
    ]


def test_a_length_that_differs_is_run_in_tiles_and_tried_once():
    tried = []

    def faulty(batch):
        y = batch["x"].double().sum(1).float()
        return {"y": y.nextafter(y + 1) if len(y) == 144 else y}

    def try_rows(rows):
        tried.append(rows)
        return plan_rows(faulty, POOL, rows, kind="a length that differs")

    lengths = Lengths(try_rows, 1000)
    assert lengths.of(100) == Length(104, RowPlan(1))
    for rows in (140, 144, 137):
        found = lengths.of(rows)
        assert found.plan.tile == 64
        at = torch.arange(found.rows) % 64
        result = found.plan.run(faulty, {"x": POOL["x"][at]})["y"]
        assert torch.equal(result, faulty(POOL)["y"][at])
    assert tried == [1, 104, 144]


@pytest.mark.parametrize("most", [None, 99])
def test_once_prepared_no_length_is_tried_any_more(small, monkeypatch, most):
    dream = Dream(small, 150)
    dream.prepare(most)

    def tried(*_: Any, **__: Any) -> None:
        raise AssertionError("a length was tried")

    monkeypatch.setattr(imagination_module, "plan_rows", tried)
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 17, 40, 41, 99, most or 150):
        part = dream.part(rng.permutation(150)[:size])
        part.reset(seeds=range(size))
        part.step(np.zeros((size, 3)))
        part.close()


def test_parts_of_a_model_that_runs_in_tiles(small, monkeypatch):
    """All lanes at once have more rows then than the table."""
    monkeypatch.setattr(imagination_module, "plan_rows", lambda *_, **__: RowPlan(4, tile=8))
    dream, alone = (Dream(small, 21, termination="none") for _ in range(2))
    part, rest = dream.part(range(20, 10, -1)), dream.part(range(11))
    assert dream.padded_rows == 24
    seeds = np.arange(21)
    alone.reset(seeds=seeds)
    part.reset(seeds=seeds[part.lanes])
    rest.reset(seeds=seeds[rest.lanes])
    for _ in range(3):
        expected = alone.step(np.zeros((21, 3)))
        for one in (part, rest):
            found = one.step(np.zeros((one.num_lanes, 3)))
            np.testing.assert_array_equal(found.observation, expected.observation[one.lanes])
    expected, found = (one.step(np.zeros((21, 3))) for one in (alone, dream))
    np.testing.assert_array_equal(found.observation, expected.observation)
