import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.models.ensemble import Ensemble, EnsembleSizes
from dreamenv.training.deviations import FACTORS, LEAST, fit_deviations, mixture_crps
from dreamenv.training.transitions import Transitions

SIZES = EnsembleSizes(observation=3, action=2, members=4, elites=3, hidden=8, layers=1, outcome=8)


def sure(deviation: float, apart: float = 0.0) -> Ensemble:
    """A model whose members predict no change, give or take ``apart``, and one deviation."""
    model = Ensemble(SIZES)
    with torch.no_grad():
        for parameter in model.dynamics.parameters():
            parameter.zero_()
        model.dynamics.biases[-1][:, 0, :3] = apart * torch.tensor([1.0, -1.0, 0.0, 7.0])[:, None]
        # Far from both bounds, where the bounded log variance is the log variance.
        model.dynamics.biases[-1][..., 3:6] = 2.0 * np.log(deviation)
        model.least_log_variance.fill_(-40.0)
        model.most_log_variance.fill_(30.0)
    return model


def noisy(noise: list[float], count: int = 2000, seed: int = 0) -> Transitions:
    """Decisions whose change is noise of these deviations."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(count, 3)).astype(np.float32)
    after = before + (rng.normal(size=(count, 3)) * noise).astype(np.float32)
    zeros = torch.zeros(count)
    return Transitions(
        torch.from_numpy(before), torch.zeros(count, 2), torch.from_numpy(after), zeros, zeros
    )


def deviations(model: Ensemble) -> torch.Tensor:
    with torch.no_grad():
        return model.spread(model.dynamics.every(torch.randn(5, 5), 4))[1]


def test_deviations_become_those_of_the_data_number_by_number():
    noise = [0.1, 0.5, 1.5]
    model = sure(1.0)
    fit_deviations(model, noisy(noise))
    found = deviations(model)
    assert (found == found[0, 0]).all()
    # The grid is coarse, and what is nearly as good but wider is preferred up to 1.
    ratio = found[0, 0] / torch.tensor(noise)
    assert ((ratio > 0.85) & (ratio < 1.35)).all(), ratio


def test_what_the_members_disagree_about_needs_no_noise():
    centres = torch.tensor([1.0, -1.0, 0.0])
    held_out = noisy([0.02] * 3)
    either = centres[
        torch.randint(3, (len(held_out), 3), generator=torch.Generator().manual_seed(0))
    ]
    held_out.following.add_(either)
    alike = fit_deviations(sure(1.0), held_out)
    apart = fit_deviations(sure(1.0, apart=1.0), held_out)
    assert (alike > 0.7).all()
    assert (apart < 0.2).all()


def test_deviations_are_multiplied_by_what_is_returned_also_at_the_bounds():
    torch.manual_seed(0)
    model = Ensemble(SIZES)
    with torch.no_grad():
        model.dynamics.biases[-1][..., 3:6].uniform_(-25.0, 10.0)
    inputs = torch.randn(7, 5)
    mean, before = (t.detach() for t in model.spread(model.dynamics.every(inputs, 4)))
    factors = fit_deviations(model, noisy([0.2, 0.2, 0.2]))
    same, after = model.spread(model.dynamics.every(inputs, 4))
    torch.testing.assert_close(same, mean)
    torch.testing.assert_close(after, factors * before)
    assert (factors != 1.0).any()


def test_deviations_that_are_right_stay_bitwise_as_they_are():
    assert (FACTORS == 1.0).sum() == 1
    model = sure(0.5)
    before = deviations(model)
    factors = fit_deviations(model, noisy([0.5] * 3))
    assert factors.tolist() == [1.0, 1.0, 1.0]
    assert torch.equal(deviations(model), before)


def test_a_handful_of_decisions_changes_nothing():
    model = sure(1.0)
    before = deviations(model)
    factors = fit_deviations(model, noisy([0.01] * 3, count=LEAST - 1))
    assert factors.tolist() == [1.0, 1.0, 1.0]
    assert torch.equal(deviations(model), before)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 3)), min_size=1, max_size=5),
    st.floats(-4, 4),
)
def test_the_score_is_the_integral_that_defines_it(members, truth):
    # ∫ (F(x) - 1[x ≥ y])² dx (Matheson & Winkler 1976), by the trapezoidal rule on either side.
    normals = [torch.distributions.Normal(mean, deviation) for mean, deviation in members]

    def part(low: float, high: float, step: float) -> float:
        x = torch.linspace(low, high, 40_001, dtype=torch.float64)
        below = torch.stack([normal.cdf(x) for normal in normals]).mean(0)
        return float(torch.trapezoid((below - step).square(), x))

    means, spreads = (torch.tensor(m, dtype=torch.float64) for m in zip(*members, strict=True))
    score = float(mixture_crps(means, spreads, torch.tensor(truth, dtype=torch.float64)))
    assert score == pytest.approx(part(-25.0, truth, 0.0) + part(truth, 25.0, 1.0), abs=1e-4)
