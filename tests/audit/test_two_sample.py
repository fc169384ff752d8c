from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dreamenv.audit import two_sample
from dreamenv.audit.two_sample import kolmogorov_smirnov

SAMPLES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


@given(SAMPLES, SAMPLES)
def test_the_distance_is_that_of_the_distribution_functions_ties_included(a, b):
    before, two_sample.PERMUTATIONS = two_sample.PERMUTATIONS, 1
    try:
        ours = kolmogorov_smirnov(a, b, seed=0).distance
    finally:
        two_sample.PERMUTATIONS = before
    below = [stats.ecdf(sample).cdf.evaluate(np.arange(-3.0, 4.0)) for sample in (a, b)]
    assert ours == pytest.approx(np.abs(below[0] - below[1]).max())


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_the_p_value_is_scipy_s_exact_one(shift):
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=25), rng.normal(shift, 1.0, 30)
    exact = stats.ks_2samp(a, b, method="exact").pvalue
    error = 4 * np.sqrt(exact * (1 - exact) / two_sample.PERMUTATIONS) + 1e-3
    assert kolmogorov_smirnov(a, b, seed=0).p_value == pytest.approx(exact, abs=error)
