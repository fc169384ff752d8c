"""Two-hot rewards: a distribution over bins whose mean is the value."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.models.two_hot import expectation, symlog_bins, two_hot

ENDS = st.tuples(st.floats(-500, 499), st.floats(0.5, 900)).map(lambda e: (e[0], e[0] + e[1]))
COUNTS = st.integers(2, 80)


@settings(max_examples=50, deadline=None)
@given(ENDS, COUNTS)
def test_bins_are_evenly_spaced_under_symlog(ends, count):
    bins = symlog_bins(*ends, count)
    assert bins.dtype == torch.float32
    assert bins.shape == (count,)
    assert (float(bins[0]), float(bins[-1])) == tuple(map(float, np.float32(ends)))
    assert bool((bins.diff() > 0).all())
    symlog = [math.copysign(math.log1p(abs(b)), b) for b in bins.tolist()]
    assert np.allclose(np.diff(symlog), (symlog[-1] - symlog[0]) / (count - 1), atol=2e-6)


@pytest.mark.parametrize(("low", "high", "count"), [(1.0, 1.0, 5), (2.0, 1.0, 5), (0.0, 1.0, 1)])
def test_bins_that_span_nothing_are_refused(low, high, count):
    with pytest.raises(ValueError, match="expected low < high and count ≥ 2"):
        symlog_bins(low, high, count)


def test_bins_closer_than_float32_can_tell_are_refused():
    """Equal neighbours would divide by zero, and the weights be NaN."""
    with pytest.raises(ValueError, match="too close"):
        symlog_bins(100.0, 100.0 + 1e-4, 63)


@settings(max_examples=50, deadline=None)
@given(ENDS, COUNTS, st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_weights_are_a_distribution_whose_mean_is_the_value(ends, count, shares):
    bins = symlog_bins(*ends, count)
    values = bins[0] + torch.tensor(shares) * (bins[-1] - bins[0])
    weights = two_hot(values, bins)
    assert weights.shape == (len(shares), count)
    assert bool((weights >= 0).all())
    assert bool(((weights > 0).sum(-1) <= 2).all())
    assert torch.allclose(weights.sum(-1), torch.ones(len(shares)), atol=1e-6)
    mean = (weights.double() * bins.double()).sum(-1)
    scale = float(bins.abs().max())
    assert torch.allclose(mean, values.clamp(bins[0], bins[-1]).double(), atol=1e-6 * scale)


def test_the_two_bins_are_the_neighbours():
    bins = torch.tensor([-1.0, 0.0, 2.0, 10.0])
    weights = two_hot(torch.tensor([[0.5, 10.0], [-1.0, 0.0]]), bins)
    assert weights.tolist() == [[[0, 0.75, 0.25, 0], [0, 0, 0, 1]], [[1, 0, 0, 0], [0, 1, 0, 0]]]


@settings(max_examples=50, deadline=None)
@given(ENDS, COUNTS)
def test_values_beyond_the_ends_are_cut_to_them(ends, count):
    bins = symlog_bins(*ends, count)
    weights = two_hot(torch.tensor([-1e6, 1e6]), bins)
    assert weights[0, 0] == 1.0
    assert weights[1, -1] == 1.0


@settings(max_examples=50, deadline=None)
@given(ENDS, COUNTS, st.integers(0, 2**31), st.floats(0, 60))
def test_no_prediction_leaves_the_range(ends, count, seed, spread):
    """However extreme the logits: this is what keeps dreamed rewards from exploding."""
    bins = symlog_bins(*ends, count)
    logits = spread * torch.randn(5, count, generator=torch.Generator().manual_seed(seed))
    mean = expectation(logits, bins)
    slack = 1e-5 * float(bins.abs().max())
    assert bool((mean >= bins[0] - slack).all())
    assert bool((mean <= bins[-1] + slack).all())
    exact = (logits.double().softmax(-1) * bins.double()).sum(-1)
    assert torch.allclose(mean.double(), exact, atol=slack)
