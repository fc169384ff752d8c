"""The mixture against torch.distributions; moments and frequencies at car sizes: tests/dream."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dreamenv.models.mixture import MAX_LOG_SCALE, MIN_LOG_SCALE, Mixture


def random_mixture(*shape: int, seed: int = 0) -> Mixture:
    generator = torch.Generator().manual_seed(seed)
    logits, mean, log_scale = (2 * torch.randn(*shape, generator=generator) for _ in range(3))
    return Mixture(logits, mean, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE))


def joint_mixture(*shape: int, seed: int = 0) -> Mixture:
    mixture = random_mixture(*shape, seed=seed)
    return Mixture(mixture.logits[..., :1], mixture.mean, mixture.log_scale)


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 1, 6), (2, 1, 5)])
def test_log_prob_is_that_of_torch(shape):
    mixture = random_mixture(*shape)
    value = 4 * torch.randn(*shape[:-2], shape[-1], generator=torch.Generator().manual_seed(1))
    logits, mean, scale = (
        t.transpose(-1, -2) for t in (mixture.logits, mixture.mean, mixture.log_scale.exp())
    )
    oracle = MixtureSameFamily(Categorical(logits=logits), Normal(mean, scale)).log_prob(value)
    oracle = oracle.sum(-1)
    assert torch.allclose(mixture.log_prob(value), oracle, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 1, 6), (2, 3, 1)])
def test_log_prob_of_a_joint_mixture_is_that_of_torch(shape):
    mixture = joint_mixture(*shape)
    value = 4 * torch.randn(*shape[:-2], shape[-1], generator=torch.Generator().manual_seed(1))
    parts = Independent(Normal(mixture.mean, mixture.log_scale.exp()), 1)
    oracle = MixtureSameFamily(Categorical(logits=mixture.logits.squeeze(-1)), parts)
    assert torch.allclose(mixture.log_prob(value), oracle.log_prob(value), rtol=1e-5, atol=1e-5)


def test_dimensions_of_a_joint_mixture_change_together():
    """Two futures, rare and common, that differ in every dimension: never half of one."""
    logits = torch.tensor([0.9, 0.1]).log()[:, None]
    mean = torch.tensor([[-1.0] * 6, [1.0] * 6])
    count = 20_000
    mixture = Mixture(*(t.expand(count, -1, -1) for t in (logits, mean, torch.full((2, 6), -6.0))))
    generator = torch.Generator().manual_seed(8)
    uniform = torch.rand(count, 1, generator=generator)
    drawn = mixture.sample(torch.ones(count), uniform, torch.randn(count, 6, generator=generator))
    rare = drawn > 0
    assert bool((rare.all(1) | ~rare.any(1)).all())
    assert float(rare[:, 0].float().mean()) == pytest.approx(0.1, abs=5 * (0.09 / count) ** 0.5)
    assert float(drawn.abs().std()) == pytest.approx(float(torch.tensor(-6.0).exp()), rel=0.05)


def test_split_of_a_joint_mixture_has_a_logit_a_component():
    head = torch.arange(2 + 2 * 2 * 3, dtype=torch.float32) / 10
    mixture = Mixture.split(head.expand(4, -1), 2, joint=True)
    assert torch.allclose(mixture.logits[3], torch.tensor([[0.0], [0.1]]))
    assert torch.allclose(mixture.mean[3], torch.tensor([[0.2, 0.3, 0.4], [0.5, 0.6, 0.7]]))
    assert torch.allclose(mixture.log_scale[3], torch.tensor([[0.8, 0.9, 1.0], [1.1, 1.2, 1.3]]))


def test_split_reads_logits_then_means_then_log_scales():
    components, latent = 2, 3
    head = torch.arange(3 * components * latent, dtype=torch.float32) / 10
    mixture = Mixture.split(head.expand(4, 5, -1), components)
    assert mixture.logits.shape == (4, 5, components, latent)
    for at, part in enumerate((mixture.logits, mixture.mean, mixture.log_scale)):
        first = at * components * latent
        expected = [[(first + k * latent + d) / 10 for d in range(latent)] for k in range(2)]
        assert torch.allclose(part[3, 4], torch.tensor(expected))


def test_split_bounds_the_scales():
    head = torch.tensor([0.0, 0.0, -99.0, 0.0, 0.0, 99.0]).view(2, 3)
    mixture = Mixture.split(head, 1)
    assert mixture.log_scale.flatten().tolist() == [MIN_LOG_SCALE, MAX_LOG_SCALE]


@pytest.mark.parametrize("tau", [0.0, 1e-12])
def test_cold_samples_are_the_likeliest_components_mean(tau):
    mixture = random_mixture(64, 5, 8, seed=2)
    generator = torch.Generator().manual_seed(3)
    uniform, normal = torch.rand(64, 8, generator=generator), torch.randn(64, 8)
    drawn = mixture.sample(torch.full((64,), tau), uniform, normal)
    mode = mixture.mean.gather(-2, mixture.logits.argmax(-2, keepdim=True)).squeeze(-2)
    assert torch.allclose(drawn, mode, atol=1e-4)
    if tau == 0:
        assert torch.equal(drawn, mode)


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0, 1.3])
@pytest.mark.parametrize("kind", [random_mixture, joint_mixture])
def test_a_sample_is_the_component_of_the_inverse_cdf_plus_scaled_noise(kind, tau):
    """Recomputed in float64, value by value, from the formula."""
    mixture = kind(40, 3, 4, seed=4)
    generator = torch.Generator().manual_seed(5)
    wide = mixture.logits.shape[-1]
    uniform, normal = torch.rand(40, wide, generator=generator), torch.randn(40, 4)
    drawn = mixture.sample(torch.full((40,), tau), uniform, normal)
    weights = (mixture.logits.double() / tau).softmax(1)
    for n in range(40):
        for d in range(4):
            below, k = 0.0, 0
            drawn_by = d % wide
            while k < 2 and uniform[n, drawn_by] >= below + weights[n, k, drawn_by]:
                below, k = below + float(weights[n, k, drawn_by]), k + 1
            scale = float(mixture.log_scale[n, k, d].double().exp())
            expected = float(mixture.mean[n, k, d]) + scale * tau**0.5 * float(normal[n, d])
            assert float(drawn[n, d]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_lanes_keep_their_own_temperature():
    mixture = random_mixture(3, 2, 4, seed=6)
    uniform, normal = torch.full((3, 4), 0.7), torch.ones(3, 4)
    together = mixture.sample(torch.tensor([0.0, 0.5, 1.3]), uniform, normal)
    for lane, tau in enumerate((0.0, 0.5, 1.3)):
        alone = mixture.sample(torch.full((3,), tau), uniform, normal)
        assert torch.equal(together[lane], alone[lane])
    assert len({tuple(row.tolist()) for row in together}) == 3


@pytest.mark.parametrize("uniform", [1e-7, 0.5, 1 - 6e-8])
def test_the_ends_of_the_uniform_range_pick_a_component(uniform):
    """Rounded weights may sum to less than 1: the last component takes what is left."""
    mixture = random_mixture(256, 7, 3, seed=7)
    drawn = mixture.sample(torch.ones(256), torch.full((256, 3), uniform), torch.zeros(256, 3))
    assert bool((drawn.unsqueeze(1) == mixture.mean).any(1).all())
