"""The ensemble as a WorldModel: its steps against each member alone, and against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from dreamenv.config import VECTOR_BOUND
from dreamenv.models.ensemble import Ensemble, EnsembleSizes, Uncertainty, _softplus
from dreamenv.models.members import Members
from dreamenv.models.propagation import PROPAGATIONS
from dreamenv.models.world_model import Noise, State

SIZES = EnsembleSizes(
    observation=3, action=2, members=5, elites=4, hidden=12, layers=2, outcome=6, latent_bound=8.0
)
LANES, ELITES = 9, SIZES.elites


@pytest.fixture(scope="module", autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def tiny(propagation: str = "ts1", **changes: float) -> Ensemble:
    torch.manual_seed(0)
    model = Ensemble(replace(SIZES, propagation=PROPAGATIONS.index(propagation), **changes))
    for parameter in (*model.dynamics.biases, *model.outcome.biases):
        parameter.normal_()
    model.mean.copy_(torch.tensor([10.0, -2.0, 0.5]))
    model.scale.copy_(torch.tensor([4.0, 0.5, 1.0]))
    model.change_mean.copy_(torch.tensor([0.1, -0.2, 0.0]))
    model.change_scale.copy_(torch.tensor([0.3, 0.1, 0.5]))
    model.reward_scale.copy_(torch.tensor([2.0, 3.0]))
    model.reward_range.copy_(torch.tensor([-90.0, 90.0]))
    return model.eval()


def random_state(lanes: int = LANES) -> State:
    generator = torch.Generator().manual_seed(1)
    return {
        "s": torch.randn(lanes, 3, generator=generator),
        "member": torch.randint(ELITES, (lanes,), generator=generator),
    }


def random_noise(lanes: int = LANES, seed: int = 2) -> Noise:
    generator = torch.Generator().manual_seed(seed)
    return Noise(
        torch.rand(lanes, 1, generator=generator), torch.randn(lanes, 3, generator=generator)
    )


def random_actions(lanes: int = LANES) -> Tensor:
    return torch.rand(lanes, 2, generator=torch.Generator().manual_seed(3)) * 2 - 1


def alone(members: Members, index: int, inputs: Tensor) -> Tensor:
    """What one member says, layer by layer."""
    last = len(members.weights) - 1
    for layer, (weight, bias) in enumerate(zip(members.weights, members.biases, strict=True)):
        inputs = F.linear(inputs, weight[index].T, bias[index, 0])
        inputs = inputs * torch.sigmoid(inputs) if layer < last else inputs
    return inputs[:, : members.outputs]


def bounded(model: Ensemble, log_variance: Tensor) -> Tensor:
    """Chua et al. 2018, appendix A.1, with torch's own softplus."""
    upper = model.most_log_variance - F.softplus(model.most_log_variance - log_variance)
    return model.least_log_variance + F.softplus(upper - model.least_log_variance)


def gaussians(model: Ensemble, s: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Each elite's mean and standard deviation of the change, ``[elites, lanes, n]``."""
    said = torch.stack([alone(model.dynamics, i, torch.cat([s, action], 1)) for i in range(ELITES)])
    return said[..., :3], bounded(model, said[..., 3:]).exp().sqrt()


def constant(model: Ensemble, means: Tensor, log_variances: Tensor) -> None:
    """Let each member say the same of everything: ``[members, n]`` each, before the bounds."""
    model.dynamics.weights[-1].zero_()
    model.dynamics.biases[-1][:, 0, :3] = means
    model.dynamics.biases[-1][:, 0, 3:6] = log_variances


def spreading(member: Tensor) -> Tensor:
    """Uniform numbers that draw these of :data:`ELITES` members."""
    return ((member + 0.5) / ELITES).unsqueeze(1)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_step_is_that_of_the_member_it_follows(propagation, tells):
    model = tiny(propagation)
    model.tells = tells
    state, action, normal = random_state(), random_actions(), random_noise().normal
    temperature = torch.linspace(0, 2, LANES)
    drawn = torch.arange(LANES) % ELITES
    imagined = model.step(state, action, temperature, Noise(spreading(drawn), normal))

    means, deviations = gaussians(model, state["s"], action)
    member = {"ts1": drawn, "tsinf": state["member"]}.get(propagation, torch.zeros_like(drawn))
    lanes = torch.arange(LANES)
    if propagation == "mean":
        mean, deviation = means.mean(0), deviations.square().mean(0).sqrt()
    else:
        mean, deviation = means[member, lanes], deviations[member, lanes]
    change = mean + temperature.sqrt()[:, None] * deviation * normal
    s = state["s"] + change * model.change_scale + model.change_mean
    assert torch.allclose(imagined.state["s"], s.clamp(-8, 8), atol=1e-5)
    assert torch.equal(imagined.state["member"], state["member"])
    # Reward and ending are judged from what was drawn.
    judged = torch.cat([state["s"], action, imagined.state["s"]], 1)
    said = torch.stack([alone(model.outcome, i, judged) for i in range(ELITES)])
    said = said.mean(0) if propagation == "mean" else said[member, lanes]
    assert torch.allclose(imagined.reward, said[:, 0] * 3.0 + 2.0, atol=1e-4)
    assert torch.allclose(imagined.termination_logit, said[:, 1], atol=1e-4)
    if tells:
        disagreement = means.numpy().std(0)
        expected = np.sqrt(np.square(disagreement).mean(-1))
        np.testing.assert_allclose(imagined.uncertainty, expected, rtol=1e-3)
    else:
        assert imagined.uncertainty is None


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_telling_changes_nothing_else(propagation):
    model, state, action, noise = (
        tiny(propagation),
        random_state(),
        random_actions(),
        random_noise(),
    )
    told = model.step(state, action, torch.ones(LANES), noise)
    model.tells = False
    untold = model.step(state, action, torch.ones(LANES), noise)
    assert torch.allclose(told.state["s"], untold.state["s"], atol=1e-5)
    assert torch.allclose(told.reward, untold.reward, atol=1e-4)
    assert torch.allclose(told.termination_logit, untold.termination_logit, atol=1e-4)


def followed(model: Ensemble, state: State, uniform: Tensor) -> tuple[Tensor, State]:
    """Which member each lane follows: member i's change is i, without noise."""
    constant(model, torch.arange(5.0)[:, None].expand(-1, 3) * 0.1, torch.zeros(5, 3))
    lanes = len(uniform)
    noise = Noise(uniform.unsqueeze(1), torch.zeros(lanes, 3))
    after = model.step(state, torch.zeros(lanes, 2), torch.ones(lanes), noise).state
    change = (after["s"] - state["s"] - model.change_mean) / model.change_scale
    return (change[:, 2] / 0.1).round().long(), after


def zeros(lanes: int, member: int) -> State:
    return {"s": torch.zeros(lanes, 3), "member": torch.full((lanes,), member)}


def test_ts1_draws_elites_uniformly_and_afresh():
    uniform = (torch.arange(4000) + 0.5) / 4000
    found, after = followed(tiny("ts1"), zeros(4000, 3), uniform)
    assert torch.bincount(found, minlength=5).tolist() == [1000, 1000, 1000, 1000, 0]
    again, _ = followed(tiny("ts1"), zeros(4000, 3) | {"member": after["member"]}, 1 - uniform)
    assert torch.equal(again, 3 - found)


def test_no_number_below_one_draws_a_member_beyond_the_elites():
    edges = torch.tensor([1 - 2.0**-24, 2.0**-126])
    assert followed(tiny("ts1"), zeros(2, 0), edges)[0].tolist() == [3, 0]
    for elites in range(1, 65):
        model = Ensemble(replace(SIZES, members=64, elites=elites))
        begun = model.begin({"observation": torch.zeros(2, 3)}, edges.unsqueeze(1))
        assert begun["member"].tolist() == [elites - 1, 0]


def test_tsinf_keeps_the_elite_that_an_episode_began_with():
    model = tiny("tsinf")
    uniform = (torch.arange(400) + 0.5) / 400
    state = model.begin({"s": torch.zeros(400, 3).half()}, uniform.unsqueeze(1))
    assert torch.bincount(state["member"], minlength=5).tolist() == [100, 100, 100, 100, 0]
    member = state["member"]
    for draw in (uniform, 1 - uniform, torch.rand(400)):
        found, state = followed(model, state, draw)
        assert torch.equal(found, member)
        assert torch.equal(state["member"], member)


def test_from_real_data_tsinf_draws_at_the_first_dreamed_step_and_keeps_that():
    """So dreams of one real moment spread over the elites, as all others do."""
    model = tiny("tsinf")
    observation = torch.zeros(400, 3)
    state = model.begin({"observation": observation})
    state = model.posterior(state, torch.zeros(400, 2), observation)
    assert bool((state["member"] == -1).all())
    uniform = (torch.arange(400) + 0.5) / 400
    first, state = followed(model, state, uniform)
    assert torch.bincount(first, minlength=5).tolist() == [100, 100, 100, 100, 0]
    later, _ = followed(model, state, 1 - uniform)
    assert torch.equal(first, later)


@pytest.mark.parametrize("propagation", ["ts1", "tsinf", "member"])
def test_the_member_that_a_stranger_names_is_some_elite(propagation):
    named = torch.tensor([10**12, -(10**12), 2**63 - 1, -(2**63), 4, 5])
    state = {"s": torch.zeros(6, 3), "member": named}
    found, after = followed(tiny(propagation), state, torch.full((6,), 0.3))
    assert bool(((found >= 0) & (found < ELITES)).all())
    assert bool(torch.isfinite(after["s"]).all())


def test_temperature_scales_the_noise_alone():
    """0 is the mode; else σ·√τ, whose square grows as τ."""
    model, state, action = tiny("member"), random_state(1), random_actions(1)
    lanes = 20_000
    many = {name: rows.expand(lanes, *rows.shape[1:]) for name, rows in state.items()}
    mean, deviation = (rows[0, 0] for rows in gaussians(model, state["s"], action))
    for tau in (0.0, 0.25, 1.0, 2.0):
        noise = random_noise(lanes, seed=int(tau * 4))
        drawn = model.step(many, action.expand(lanes, -1), torch.full((lanes,), tau), noise)
        change = (drawn.state["s"] - state["s"] - model.change_mean) / model.change_scale
        if tau == 0.0:
            assert torch.allclose(change, mean.expand(lanes, -1), atol=1e-4)
            continue
        # Five standard errors of a mean and of a standard deviation.
        error = 5 * deviation * tau**0.5 / lanes**0.5
        assert bool(((change.mean(0) - mean).abs() < error).all())
        assert bool(((change.std(0) - deviation * tau**0.5).abs() < error).all())


def test_uncertainty_of_members_that_are_known():
    """Means 0 … 4 deviations apart in one of three numbers; the fifth member is no elite."""
    model = tiny()
    means = torch.zeros(5, 3)
    means[:, 1] = torch.tensor([0.0, 1.0, 2.0, 3.0, 1000.0])
    log_variances = torch.full((5, 3), -3.0)
    constant(model, means, log_variances)
    state, action = random_state(), random_actions()
    found = model.uncertainty(state, action)
    # The population variance of 0, 1, 2, 3 is 5/4; a third of the numbers has it.
    assert torch.allclose(found.epistemic, torch.full((LANES,), math.sqrt(1.25 / 3)), atol=1e-5)
    variance = bounded(model, log_variances).exp()[0].mean()
    assert torch.allclose(found.aleatoric, variance.sqrt().expand(LANES), atol=1e-5)
    imagined = model.step(state, action, torch.ones(LANES), random_noise())
    assert torch.equal(imagined.uncertainty, found.epistemic)


def test_members_that_agree_are_unsure_of_nothing_but_their_noise():
    model = tiny()
    constant(model, torch.tensor([0.3, -0.7, 0.1]).expand(5, -1), torch.full((5, 3), -1.0))
    found = model.uncertainty(random_state(), random_actions())
    assert float(found.epistemic.max()) < 1e-6
    assert float(found.aleatoric.min()) > 0.1


def test_the_two_kinds_of_uncertainty_make_up_the_mixtures_variance():
    """Law of total variance, over members and numbers."""
    generator = torch.Generator().manual_seed(6)
    means = torch.randn(4, 7, 3, generator=generator, dtype=torch.float64)
    deviations = torch.rand(4, 7, 3, generator=generator, dtype=torch.float64)
    found = Uncertainty.of(means, deviations)
    second = (means.square() + deviations.square()).mean(0)
    total = (second - means.mean(0).square()).mean(-1)
    assert torch.allclose(found.epistemic.square() + found.aleatoric.square(), total)


@settings(deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(-12, -4), st.floats(-3, 4))
def test_a_log_variance_stays_between_its_bounds(value, least, most):
    model = tiny()
    model.least_log_variance.fill_(least)
    model.most_log_variance.fill_(most)
    given_ = torch.full((3,), value)
    found = model.bounded(given_)
    assert torch.allclose(found, bounded(model, given_), atol=1e-3)
    # Softplus leaves room for log(1 + e^(least - most)) beyond the upper one.
    assert bool((found >= least - 1e-4).all())
    assert bool((found <= most + math.log1p(math.exp(least - most)) + 1e-4).all())


@given(st.floats(-200, 200, width=32))
def test_softplus(x):
    expected = math.log1p(math.exp(-abs(x))) + max(x, 0.0)
    assert float(_softplus(torch.tensor([x]))) == pytest.approx(expected, rel=1e-6, abs=1e-30)


def test_rewards_stay_within_what_was_seen():
    model = tiny()
    model.reward_range.copy_(torch.tensor([1.5, 2.5]))
    step = model.step(random_state(), random_actions(), torch.ones(LANES), random_noise())
    free = tiny().step(random_state(), random_actions(), torch.ones(LANES), random_noise())
    assert torch.equal(step.reward, free.reward.clamp(1.5, 2.5))
    assert not torch.equal(step.reward, free.reward)


def test_observations_are_normalised_and_back():
    model = tiny()
    observation = torch.tensor([[10.0, -2.0, 0.5], [14.0, -1.5, -0.5], [1e6, -1e6, 0.0]])
    for state in (
        model.begin({"observation": observation}),
        model.posterior(random_state(3), random_actions(3), observation),
    ):
        expected = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, -1.0], [8.0, -8.0, -0.5]])
        assert torch.allclose(state["s"], expected)
        assert torch.equal(model.observe(state, "features"), state["s"])
        assert torch.equal(model.observe(state, "latent"), state["s"])
        shown = model.observe(state, "pixels")
        assert torch.allclose(shown[:2], observation[:2])
        assert torch.allclose(shown[2], torch.tensor([42.0, -6.0, 0.0]))


def test_what_is_shown_stays_within_the_space():
    model = tiny()
    model.scale.fill_(1e6)
    state = {"s": torch.tensor([[8.0, -8.0, 0.0]]), "member": torch.zeros(1, dtype=torch.long)}
    shown = model.observe(state, "pixels")
    assert shown[0].tolist() == [VECTOR_BOUND, -VECTOR_BOUND, 0.5]


def test_the_posterior_is_the_observation_whatever_was_dreamt():
    model, state = tiny(), random_state()
    observation = torch.randn(LANES, 3)
    after = model.posterior(state, random_actions(), observation, random_noise())
    assert torch.equal(after["s"], model.normalised(observation))
    assert torch.equal(after["member"], state["member"])


def test_a_bank_entry_begins_where_it_stood():
    model, bank = tiny(), random_state()["s"].half()
    for noise in (None, torch.rand(LANES, 1)):
        state = model.begin({"s": bank}, noise)
        assert state["s"].dtype == torch.float32
        assert torch.equal(state["s"], bank.float())


def test_states_stay_within_their_bound():
    model = tiny(latent_bound=0.5)
    drawn = model.step(random_state(), random_actions(), torch.full((LANES,), 99.0), random_noise())
    assert float(drawn.state["s"].abs().max()) == 0.5


def test_discrete_actions_enter_as_one_hot_vectors():
    one_hot, vectors = tiny(discrete=1), tiny()
    vectors.load_state_dict(one_hot.state_dict())
    choice = torch.arange(LANES) % 2
    arguments = (torch.ones(LANES), random_noise())
    found = one_hot.step(random_state(), choice, *arguments)
    expected = vectors.step(random_state(), torch.eye(2)[choice], *arguments)
    assert torch.equal(found.state["s"], expected.state["s"])
    assert torch.equal(found.reward, expected.reward)
    assert torch.equal(one_hot.uncertainty(random_state(), choice)[0], expected.uncertainty)


def test_lanes_do_not_see_each_other():
    model, state, action, noise = tiny(), random_state(), random_actions(), random_noise()
    order = torch.randperm(LANES, generator=torch.Generator().manual_seed(8))
    temperature = torch.linspace(0, 2, LANES)
    together = model.step(state, action, temperature, noise)
    shuffled = model.step(
        {name: rows[order] for name, rows in state.items()},
        action[order],
        temperature[order],
        Noise(noise.uniform[order], noise.normal[order]),
    )
    assert torch.allclose(together.state["s"][order], shuffled.state["s"], atol=1e-5)
    assert torch.allclose(together.reward[order], shuffled.reward, atol=1e-5)
    assert torch.allclose(together.uncertainty[order], shuffled.uncertainty, atol=1e-5)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_functions_leave_their_arguments_alone_and_repeat_themselves(propagation):
    model, state = tiny(propagation), random_state()
    state["member"][0] = -1
    action, noise, temperature = random_actions(), random_noise(), torch.ones(LANES)
    observation = torch.randn(LANES, 3)
    given_ = [*state.values(), action, noise.uniform, noise.normal, temperature, observation]
    before = [tensor.clone() for tensor in given_]
    first = model.step(state, action, temperature, noise)
    model.posterior(state, action, observation, noise)
    model.begin({"s": state["s"]}, noise.uniform)
    for kind in ("features", "latent", "pixels"):
        model.observe(first.state, kind)
    second = model.step(state, action, temperature, noise)
    assert all(map(torch.equal, given_, before))
    assert torch.equal(first.state["s"], second.state["s"])
    assert torch.equal(first.reward, second.reward)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"observation": 0}, "observation: expected a whole number 1 to 4096, got 0"),
        ({"hidden": 5000}, "hidden: expected a whole number 1 to 4096, got 5000"),
        ({"members": 1.5}, "members: expected a whole number 1 to 64, got 1.5"),
        ({"members": 5.0}, "members: expected a whole number 1 to 64, got 5.0"),
        ({"hidden": math.inf}, "hidden: expected a whole number 1 to 4096, got inf"),
        ({"layers": True}, "layers: expected a whole number 1 to 16, got True"),
        ({"outcome": -1}, "outcome: expected a whole number 1 to 4096, got -1"),
        ({"members": 3, "elites": 4}, "elites: expected at most the 3 members, got 4"),
        ({"discrete": 2}, "discrete: expected 0 or 1, got 2"),
        ({"propagation": 4}, "propagation: expected 0 to 3, got 4"),
        ({"propagation": 1.0}, "propagation: expected 0 to 3, got 1.0"),
        ({"propagation": -1}, "propagation: expected 0 to 3, got -1"),
        ({"latent_bound": 0.0}, "latent_bound: expected 0 < bound ≤ 1000, got 0.0"),
        ({"latent_bound": math.nan}, "latent_bound: expected 0 < bound ≤ 1000, got nan"),
    ],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        EnsembleSizes(**{"observation": 3, "action": 2} | sizes)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
@pytest.mark.parametrize("tells", [True, False])
def test_a_healthy_range_alone_says_where_episodes_end(propagation, tells):
    model = tiny(propagation, healthy_range=1)
    plain = tiny(propagation)
    for one in (model, plain):
        one.tells = tells
    assert model.healthy is not None
    model.healthy.low[1], model.healthy.low_slope[1] = -0.5, 3.0
    model.healthy.high[2], model.healthy.high_slope[2] = 0.25, 8.0
    state, action, noise = random_state(), random_actions(), random_noise()
    imagined = model.step(state, action, torch.ones(LANES), noise)
    other = plain.step(state, action, torch.ones(LANES), noise)
    s = imagined.state["s"]
    expected = torch.maximum((-0.5 - s[:, 1]) * 3.0, (s[:, 2] - 0.25) * 8.0).clamp(-15, 15)
    assert imagined.termination_logit.shape == (LANES,)
    assert torch.allclose(imagined.termination_logit, expected, atol=1e-5)
    assert not torch.allclose(other.termination_logit, expected, atol=0.1)
    assert torch.equal(s, other.state["s"])
    assert torch.equal(imagined.reward, other.reward)


def test_a_range_without_bounds_ends_nothing():
    model = tiny(healthy_range=1)
    assert model.healthy is not None
    s = torch.tensor([[8.0, -8.0, 0.0], [0.0, 0.0, 0.0]])  # as far as states come
    assert bool((model.healthy(s) == -15.0).all())


@pytest.mark.parametrize("flag", [2, -1, True, 0.5])
def test_whether_there_is_a_range_is_yes_or_no(flag):
    with pytest.raises(ValueError, match="healthy_range: expected 0 or 1, got"):
        replace(SIZES, healthy_range=flag)
