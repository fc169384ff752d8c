"""Doubts of an MDN-RNN against autograd and a great many masks; their ranks against SciPy's."""

from __future__ import annotations

import mdnrnn_doubts
import numpy as np
import pytest
import torch
from mdnrnn_trust import Ranks
from scipy.stats import rankdata, spearmanr

from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.models.two_hot import expectation

LANES, DROPOUT = 5, 0.2


@pytest.fixture(scope="module", params=[(0, 1), (1, 1), (0, 0)], ids=["", "joint", "blind"])
def model(request) -> MDNRNN:
    joint, judges_next = request.param
    torch.manual_seed(0)
    sizes = MDNRNNSizes(
        height=16, width=16, vae_base=2, latent=4, hidden=6, mixtures=3, head=8, reward_bins=7,
        dropout=DROPOUT, joint=joint, judges_next=judges_next,
    )  # fmt: skip
    model = MDNRNN(sizes).eval().requires_grad_(False)
    for parameter in model.parameters():  # far from the origin, so that no term hides in another
        parameter.mul_(3.0)
    model.reward_bins.copy_(torch.linspace(-5, 20, 7))
    return model


@pytest.fixture(scope="module")
def h() -> torch.Tensor:
    return torch.randn(LANES, 6, generator=torch.Generator().manual_seed(1)).tanh()


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    return torch.randn(LANES, 4, generator=torch.Generator().manual_seed(2))


def test_the_closed_form_of_the_reward_is_its_gradient_times_what_dropout_moves(model, h, z):
    varied = h.clone().requires_grad_()
    expectation(model.judge(varied, z)[0], model.reward_bins).sum().backward()
    variance = DROPOUT / (1 - DROPOUT)  # of a mask that is 0 or 1 / (1 - dropout), mean 1
    expected = ((varied.grad * h).square() * variance).sum(1).sqrt()
    torch.testing.assert_close(mdnrnn_doubts.slope(model, h, z), expected)
    assert bool((expected > 0.01).all())


def test_the_closed_form_of_the_latent_is_what_many_masks_say(model, h):
    generator = torch.Generator().manual_seed(3)
    masks = torch.empty(60_000, 1, 6).bernoulli_(1 - DROPOUT, generator=generator) / (1 - DROPOUT)
    variance = model.following(h * masks).mean.var(0)
    weights = model.following(h).logits.softmax(-2)
    expected = (weights * variance).sum(-2).mean(-1).sqrt()
    torch.testing.assert_close(mdnrnn_doubts.spread(model, h), expected, rtol=0.02, atol=0)


def test_masks_are_the_same_each_time_and_for_each_lane(model, h, z):
    torch.manual_seed(4)
    together = mdnrnn_doubts.masked(model, h, z, 8)
    torch.manual_seed(5)
    for lane in range(LANES):
        alone = mdnrnn_doubts.masked(model, h[lane : lane + 1], z[lane : lane + 1], 8)
        for one, all_ in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_[lane])


def test_a_memory_that_says_nothing_leaves_nothing_to_doubt(model, h, z):
    for name, doubt in mdnrnn_doubts.doubts(model, torch.zeros_like(h), z).items():
        assert float(doubt.abs().max()) < 1e-5, name
    for name, doubt in mdnrnn_doubts.doubts(model, h, z).items():
        assert float(doubt.min()) > 1e-3, name


def test_the_models_own_deviation_is_that_of_its_samples(model, h, z):
    told = mdnrnn_doubts.own_spread(model, h, z)
    generator, count = torch.Generator().manual_seed(6), 40_000
    one = model.following(h[:1].expand(count, -1))
    drawn = one.sample(
        torch.ones(count),
        torch.rand(count, model.noise.uniform, generator=generator),
        torch.randn(count, model.latent, generator=generator),
    )
    expected = float(drawn.var(0).mean().sqrt())
    assert float(told["latent, predicted deviation"][0]) == pytest.approx(expected, rel=0.03)
    share = model.judge(h[:1], z[:1])[0].softmax(-1)[0].numpy().astype(float)
    bins = model.reward_bins.numpy().astype(float)
    expected = np.sqrt(np.average((bins - np.average(bins, weights=share)) ** 2, weights=share))
    assert float(told["reward, predicted deviation"][0]) == pytest.approx(expected, rel=1e-3)


def test_ranks_are_scipys():
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=400)
    columns = {name: hidden + rng.normal(size=400) for name in "xyg"}
    columns["y"] = np.exp(columns["y"]).round(1)  # with ties
    ranks = Ranks(columns, np.repeat(np.arange(20), 20))
    found = ranks.of("x", "y")
    assert found["value"] == pytest.approx(spearmanr(columns["x"], columns["y"]).statistic)
    assert found["low"] < found["value"] < found["high"]
    # What is left of two columns after a straight line in the third.
    x, y, g = (rankdata(columns[name]) for name in "xyg")
    left = [v - np.polyval(np.polyfit(g, v, 1), g) for v in (x, y)]
    assert ranks.of("x", "y", "g")["value"] == pytest.approx(np.corrcoef(*left)[0, 1])
    # Episodes that do not vary leave no doubt.
    again = Ranks({n: np.tile(v, 5) for n, v in columns.items()}, np.repeat(np.arange(5), 400))
    same = again.of("x", "y")
    assert same["low"] == pytest.approx(same["high"])
