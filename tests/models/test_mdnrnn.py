"""The MDN-RNN as a WorldModel: its recurrence against nn.LSTM, its heads against their parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.models.mixture import Mixture
from dreamenv.models.world_model import Noise, State

SIZES = MDNRNNSizes(
    height=16, width=16, vae_base=2, latent=4, hidden=6, mixtures=3, head=8, reward_bins=7
)
LANES = 5


@pytest.fixture(scope="module", autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def tiny(**changes: float) -> MDNRNN:
    torch.manual_seed(0)
    model = MDNRNN(replace(SIZES, **changes)).eval()
    for parameter in model.parameters():  # far from the origin, so that no term hides in another
        parameter.mul_(3.0)
    model.reward_bins.copy_(torch.linspace(-5, 20, 7))
    return model


def random_state(model: MDNRNN, seed: int = 1) -> State:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(LANES, model.latent, generator=generator)
    h, c = (torch.randn(LANES, model.sizes.hidden, generator=generator) for _ in range(2))
    return {"z": z, "h": h.tanh(), "c": c, "mask": torch.ones_like(h)}


def random_noise(model: MDNRNN, seed: int = 2) -> Noise:
    generator = torch.Generator().manual_seed(seed)
    return Noise(
        torch.rand(LANES, model.noise.uniform, generator=generator),
        torch.randn(LANES, model.noise.normal, generator=generator),
    )


def random_actions(seed: int = 3) -> Tensor:
    return torch.rand(LANES, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def random_frames(seed: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (LANES, 16, 16, 3), dtype=torch.uint8, generator=generator)


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def test_the_recurrence_is_that_of_nn_lstm():
    model, steps = tiny(), 12
    oracle = nn.LSTM(model.latent + 3, SIZES.hidden, batch_first=True)
    oracle.load_state_dict(model.lstm.state_dict())
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(LANES, steps, model.latent, generator=generator)
    actions = torch.randn(LANES, steps, 3, generator=generator)
    state = random_state(model)
    start = (state["h"][None].clone(), state["c"][None].clone())
    output, (last_h, last_c) = oracle(torch.cat([z, actions], -1), start)
    for t in range(steps):
        state["h"], state["c"] = model.recur(state | {"z": z[:, t]}, actions[:, t])
        assert torch.allclose(state["h"], output[:, t], atol=1e-6)
    assert torch.allclose(state["h"], last_h[0], atol=1e-6)
    assert torch.allclose(state["c"], last_c[0], atol=1e-6)


def test_a_real_first_frame_begins_with_its_mean_and_an_empty_memory():
    model, frames = tiny(), random_frames()
    state = model.begin({"observation": frames})
    mean, _ = model.vae.encode(frames)
    assert torch.equal(state["z"], mean.clamp(-8, 8))
    assert state["h"].shape == state["c"].shape == (LANES, SIZES.hidden)
    assert not state["h"].any()
    assert not state["c"].any()
    assert bool((state["mask"] == 1).all())
    assert {t.dtype for t in state.values()} == {torch.float32}


def test_a_bank_entry_begins_where_it_stood():
    model = tiny()
    bank = {name: t.half() for name, t in random_state(model).items() if name != "mask"}
    state = model.begin(bank)
    for name in ("z", "h", "c"):
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], bank[name].float())


def test_dropout_hides_a_share_of_the_memory_for_an_episode():
    model = tiny(dropout=0.25)
    assert model.noise.start_uniform == SIZES.hidden
    noise = torch.tensor([[0.0001, 0.2499, 0.25, 0.5, 0.9, 0.9999]]).expand(LANES, -1)
    mask = model.begin({"observation": random_frames()}, noise)["mask"]
    assert torch.allclose(mask, torch.tensor([0, 0, 4 / 3, 4 / 3, 4 / 3, 4 / 3]).expand(LANES, -1))
    state = random_state(model) | {"mask": mask}
    step = model.step(state, random_actions(), torch.ones(LANES), random_noise(model))
    assert torch.equal(step.state["mask"], mask)
    # Without noise (a state that follows real data), and without dropout: nothing is hidden.
    assert bool((model.begin({"observation": random_frames()})["mask"] == 1).all())
    plain = tiny()
    assert plain.noise.start_uniform == 0
    assert bool((plain.begin({"observation": random_frames()}, noise)["mask"] == 1).all())


def test_the_mask_hides_memory_from_the_heads_not_from_the_recurrence():
    model = tiny(dropout=0.5)
    state, action = random_state(model), random_actions()
    arguments = (action, torch.ones(LANES), random_noise(model))
    seen = model.step(state, *arguments)
    hidden = model.step(state | {"mask": torch.zeros_like(state["mask"])}, *arguments)
    assert torch.equal(seen.state["h"], hidden.state["h"])
    assert not torch.equal(seen.state["z"], hidden.state["z"])
    biases = Mixture.split(model.mixture.bias, SIZES.mixtures)
    expected = Mixture(*(t.expand(LANES, -1, -1) for t in vars(biases).values())).sample(
        *arguments[1:2], arguments[2].uniform, arguments[2].normal
    )
    assert torch.allclose(hidden.state["z"], expected.clamp(-8, 8), atol=1e-5)


def test_the_posterior_is_what_the_encoder_says():
    model, frames, noise = tiny(), random_frames(), random_noise(tiny())
    state, action = random_state(model), random_actions()
    mean, log_variance = model.vae.encode(frames)
    after = model.posterior(state, action, frames)
    sampled = model.posterior(state, action, frames, noise)
    assert torch.equal(after["z"], mean.clamp(-8, 8))
    spread = (0.5 * log_variance).exp() * noise.normal
    assert torch.allclose(sampled["z"], (mean + spread).clamp(-8, 8))
    for one in (after, sampled):
        assert torch.equal(one["h"], model.recur(state, action)[0])
        assert torch.equal(one["c"], model.recur(state, action)[1])
        assert bool((one["mask"] == 1).all())


@pytest.mark.parametrize(("dropout", "joint"), [(0.0, 0), (0.3, 0), (0.0, 1)])
def test_a_step_draws_z_then_judges_that_z(dropout, joint):
    model = tiny(dropout=dropout, joint=joint)
    assert model.noise.uniform == (1 if joint else SIZES.latent)
    state, action, noise = random_state(model), random_actions(), random_noise(model)
    keep = torch.rand(LANES, SIZES.hidden, generator=torch.Generator().manual_seed(9)) >= dropout
    state["mask"] = keep / (1 - dropout)
    temperature = torch.tensor([0.0, 0.3, 1.0, 1.3, 2.0])
    imagined = model.step(state, action, temperature, noise)
    h, c = model.recur(state, action)
    assert torch.equal(imagined.state["h"], h)
    assert torch.equal(imagined.state["c"], c)
    seen = h * state["mask"]
    z = Mixture.split(model.mixture(seen), SIZES.mixtures, bool(joint)).sample(
        temperature, noise.uniform, noise.normal
    )
    assert torch.allclose(imagined.state["z"], z.clamp(-8, 8), atol=1e-6)
    # Reward and termination, from the heads' own layers: SiLU between, last output is the logit.
    first, last = model.outcome[0], model.outcome[2]
    inner = first(torch.cat([seen, imagined.state["z"]], 1))
    out = last(inner * torch.sigmoid(inner))
    reward = (out[:, :-1].softmax(1) * model.reward_bins).sum(1)
    assert torch.allclose(imagined.reward, reward, atol=1e-5)
    assert torch.allclose(imagined.termination_logit, out[:, -1], atol=1e-5)
    assert imagined.reward.shape == imagined.termination_logit.shape == (LANES,)
    assert imagined.uncertainty is None
    # Another draw of the same step is judged otherwise: the judge sees the dreamed future.
    other = model.step(state, action, temperature, Noise(noise.uniform, -noise.normal))
    assert torch.equal(imagined.reward[0], other.reward[0])  # τ = 0 draws the mode
    assert bool((imagined.reward[1:] != other.reward[1:]).all())
    assert bool((imagined.termination_logit[1:] != other.termination_logit[1:]).all())


def test_functions_leave_their_arguments_alone_and_repeat_themselves():
    model, state, action = tiny(dropout=0.1), random_state(tiny()), random_actions()
    frames, noise, temperature = random_frames(), random_noise(model), torch.ones(LANES)
    kept, kept_action, kept_frames = copied(state), action.clone(), frames.clone()
    kept_noise = copied(vars(noise))
    first = model.step(state, action, temperature, noise)
    seen = copied(first.state)
    model.posterior(state, action, frames, noise)
    model.begin(state, torch.rand(LANES, SIZES.hidden))
    for kind in ("features", "latent", "pixels"):
        model.observe(state, kind)
    second = model.step(state, action, temperature, noise)
    for now, before in (
        (state, kept),
        (first.state, seen),
        (second.state, seen),
        ({"action": action, "frames": frames}, {"action": kept_action, "frames": kept_frames}),
        (vars(noise), kept_noise),
    ):
        assert all(torch.equal(now[name], before[name]) for name in before)
    assert torch.equal(first.reward, second.reward)


def test_lanes_do_not_see_each_other():
    model, state, action = tiny(), random_state(tiny()), random_actions()
    noise, order = random_noise(model), torch.tensor([3, 1, 4, 0, 2])
    temperature = torch.linspace(0, 2, LANES)
    together = model.step(state, action, temperature, noise)
    shuffled = model.step(
        {name: t[order] for name, t in state.items()},
        action[order],
        temperature[order],
        Noise(noise.uniform[order], noise.normal[order]),
    )
    assert torch.allclose(together.reward[order], shuffled.reward, atol=1e-5)
    assert torch.allclose(together.state["z"][order], shuffled.state["z"], atol=1e-5)


def test_latents_stay_within_their_bound():
    model = tiny(latent_bound=0.5)
    state = random_state(model)
    drawn = model.step(state, random_actions(), torch.full((LANES,), 9.0), random_noise(model))
    for z in (
        drawn.state["z"],
        model.posterior(state, random_actions(), random_frames(), random_noise(model))["z"],
        model.begin({"observation": random_frames()})["z"],
    ):
        assert float(z.abs().max()) <= 0.5


def test_observations():
    model, state = tiny(), random_state(tiny())
    features = model.observe(state, "features")
    assert model.features == SIZES.latent + SIZES.hidden == features.shape[1]
    assert torch.equal(features[:, : SIZES.latent], state["z"])
    assert torch.equal(features[:, SIZES.latent :], state["h"])
    assert torch.equal(model.observe(state, "latent"), state["z"])
    assert torch.equal(model.observe(state, "pixels"), model.vae.picture(state["z"]))
    assert model.observe(state, "pixels").shape == (LANES, 16, 16, 3)


def test_discrete_actions_enter_as_one_hot_vectors():
    one_hot, vectors = tiny(discrete=1), tiny()
    vectors.load_state_dict(one_hot.state_dict())
    choice = torch.tensor([0, 2, 1, 1, 0])
    state, noise = random_state(one_hot), random_noise(one_hot)
    expected = vectors.step(state, torch.eye(3)[choice], torch.ones(LANES), noise)
    imagined = one_hot.step(state, choice, torch.ones(LANES), noise)
    assert torch.equal(imagined.state["h"], expected.state["h"])
    assert torch.equal(imagined.reward, expected.reward)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden": 0}, "hidden: expected a whole number 1 to 4096, got 0"),
        ({"hidden": 5000}, "hidden: expected a whole number 1 to 4096, got 5000"),
        ({"mixtures": 1.5}, "mixtures: expected a whole number 1 to 64, got 1.5"),
        ({"action": True}, "action: expected a whole number 1 to 4096, got True"),
        ({"reward_bins": 1}, "reward_bins: expected a whole number 2 to 1024, got 1"),
        ({"discrete": 2}, "discrete: expected 0 or 1, got 2"),
        ({"dropout": 0.9}, "dropout: expected 0 ≤ dropout < 0.9, got 0.9"),
        ({"dropout": -0.1}, "dropout: expected 0 ≤ dropout < 0.9, got -0.1"),
        ({"latent_bound": 0.0}, "latent_bound: expected 0 < bound ≤ 1000, got 0.0"),
        ({"height": 60}, "height: expected a multiple of 16"),
        ({"latent": 0}, "latent: expected 1 to 1024, got 0"),
    ],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        MDNRNNSizes(**sizes)
