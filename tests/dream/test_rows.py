"""The self-test that finds how batches must be padded, on functions whose fault is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from dreamenv.dream import Dream
from dreamenv.dream import imagination as imagination_module
from dreamenv.dream.rows import RowPlan, plan_rows
from dreamenv.dream.termination import termination_probability

POOL = {"x": torch.randn(64, 5, generator=torch.Generator().manual_seed(0))}


def faulty(wrong):
    """A function of rows whose last bit differs in those rows that ``wrong`` picks."""

    def function(batch):
        y = batch["x"].double().sum(1).float()
        rows = torch.arange(len(y))
        return {"y": torch.where(wrong(rows, len(y)), y.nextafter(y + 1), y)}

    return function


def rest_of(size):
    """The remainder of a kernel that takes ``size`` rows at once."""
    return lambda rows, count: rows >= count - count % size


@pytest.mark.parametrize("size", [1, 2, 4, 16, 64])
def test_padding_is_the_kernels_tile(size):
    plan = plan_rows(faulty(rest_of(size)), POOL, rows=7, kind=("remainder", size))
    assert plan == RowPlan(size)


def test_a_single_row_with_odd_strides_is_compared():
    """Where no padding is needed: a column of one row keeps the stride of its matrix."""
    plan = plan_rows(lambda batch: {"y": batch["x"][..., -1]}, POOL, rows=1, kind="column")
    assert plan == RowPlan(1)


def test_small_batches_that_take_another_path_are_padded_past_it():
    plan = plan_rows(
        faulty(lambda rows, count: torch.tensor(count < 12)), POOL, rows=1, kind="small"
    )
    assert plan.padded(1) == 16


def test_a_rare_fault_is_found():
    def rare(batch):
        y = batch["x"].sum(1)
        odd = (torch.arange(len(y)) >= len(y) - len(y) % 8) & (batch["x"][:, 0] > 2.0)
        return {"y": torch.where(odd, y + 1, y)}

    assert 0 < int((POOL["x"][:, 0] > 2.0).sum()) <= 3
    assert plan_rows(rare, POOL, rows=3, kind="rare").multiple == 8


def test_a_length_that_differs_is_run_in_tiles():
    def large(rows, count):
        return torch.tensor(count == 1000)

    function = faulty(large)
    assert plan_rows(function, POOL, rows=500, kind="large") == RowPlan(1)
    plan = plan_rows(function, POOL, rows=1000, kind="large")
    assert plan.tile == 64
    batch = {"x": POOL["x"][torch.arange(1000) % 64]}
    rows = plan.padded(1000)
    padded = {"x": torch.cat([batch["x"], batch["x"][: rows - 1000]])}
    found = plan.run(function, padded)["y"][:1000]
    assert torch.equal(found, function(POOL)["y"][torch.arange(1000) % 64])


def test_where_every_length_differs_one_is_kept():
    def by_length(batch):
        return {"y": batch["x"].sum(1) * (1 + 1e-3 * len(batch["x"]))}

    plan = plan_rows(by_length, POOL, rows=5, kind="each")
    assert plan == RowPlan(64, tile=64)
    assert plan.padded(65) == 128


def test_hopeless_functions_are_reported(small, monkeypatch):
    def place(rows, count):
        return rows % 2 == 1

    assert not plan_rows(faulty(place), POOL, rows=5, kind="hopeless").stable
    unstable = RowPlan(stable=False)
    monkeypatch.setattr(imagination_module, "plan_rows", lambda *_, **__: unstable)
    with pytest.warns(RuntimeWarning, match="pad_rows=None"):
        dream = Dream(small, 2)
    assert dream.padded_rows == 2
    assert "not independent" in dream.fingerprint


@given(
    rows=st.integers(1, 100),
    multiple=st.sampled_from([1, 4, 16]),
    tiles=st.none() | st.integers(1, 3),
)
def test_a_plan_runs_every_row_once(rows, multiple, tiles):
    plan = RowPlan(multiple, tile=multiple * tiles if tiles else None)
    padded = plan.padded(rows)
    assert rows <= padded < rows + (plan.tile or multiple)
    batch = {"x": torch.arange(padded)}
    lengths = []

    def double(part):
        lengths.append(len(part["x"]))
        return {"y": part["x"] * 2}

    assert torch.equal(plan.run(double, batch)["y"], batch["x"] * 2)
    assert set(lengths) == {plan.tile or padded}


def test_padding_can_be_fixed_or_switched_off(small):
    assert Dream(small, 3, pad_rows=None).padded_rows == 3
    assert Dream(small, 3, pad_rows=1).padded_rows == 3
    assert Dream(small, 3, pad_rows=10).padded_rows == 10
    assert Dream(small, 10, pad_rows=4).fingerprint.endswith("rows in 4s, not independent")
    found = Dream(small, 3).fingerprint
    assert "independent" not in found
    assert f"torch {torch.__version__}; {torch.get_num_threads()} threads; eager; rows in" in found
    for wrong in (0, -1, "all", 2.5, True):
        with pytest.raises(ValueError, match="pad_rows"):
            Dream(small, 3, pad_rows=wrong)


def test_probabilities_do_not_depend_on_their_place():
    """A vector's remainder may be rounded otherwise: ``torch.sigmoid`` fails this."""
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal(4096) * 3).astype(np.float32)
    temperature = np.full_like(logits, 1.1)
    whole = termination_probability(logits, temperature)
    for length in (1, 3, 4, 12, 20, 100):
        for start in (0, 1, 5):
            at = slice(start, start + length)
            np.testing.assert_array_equal(
                termination_probability(logits[at], temperature[at]), whole[at]
            )
    np.testing.assert_allclose(whole, special.expit(logits / temperature), rtol=1e-5)


def test_certain_endings_overflow_to_certainty():
    logits = np.array([-1e4, 1e4, 0.0], np.float32)
    never, always, half = termination_probability(logits, np.ones(3, np.float32)).tolist()
    assert 0.0 <= never < 1e-30
    assert (always, half) == (1.0, 0.5)
