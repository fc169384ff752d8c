"""Which members of an ensemble a dream follows, against the members computed one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dreamenv.dream import Dream
from dreamenv.make import dream_source, make_env
from dreamenv.models.propagation import PROPAGATIONS
from dreamenv.packages import Package

LANES, STEPS = 40, 12


@pytest.fixture(scope="module")
def unsure(make_unsure_package) -> Package:
    return make_unsure_package()


def modes(package: Package, state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Where each elite alone expects each state to go: ``[elites, lanes, n]``."""
    weights, sizes = package.weights, package.config.sizes
    s = torch.tensor(state)
    found = []
    for member in range(sizes["elites"]):
        hidden = torch.cat([s, torch.tensor(action)], dim=1)
        for layer in range(sizes["layers"] + 1):
            weight = weights[f"dynamics.weights.{layer}"][member]
            bias = weights[f"dynamics.biases.{layer}"][member]
            hidden = F.linear(hidden, weight.T, bias[0])
            if layer < sizes["layers"]:
                hidden = hidden * torch.sigmoid(hidden)
        change = hidden[:, : sizes["observation"]]
        moved = s + change * weights["change_scale"] + weights["change_mean"]
        found.append(moved.clamp(-sizes["latent_bound"], sizes["latent_bound"]))
    return torch.stack(found).numpy()


def followed(package: Package, propagation: str | None, uncertainty: bool) -> np.ndarray:
    """Whether each step went where an elite expects, or all do on average, at temperature 0: bool
    ``[steps, lanes, elites + 1]``."""
    dream = Dream(
        package,
        LANES,
        temperature=0.0,
        termination="none",
        propagation=propagation,
        uncertainty=uncertainty,
    )
    dream.reset(seeds=range(LANES))
    rng, found = np.random.default_rng(0), []
    for _ in range(STEPS):
        action = rng.uniform(-1, 1, (LANES, 3)).astype(np.float32)
        expected = modes(package, dream.snapshot().arrays["state.s"], action)
        expected = np.concatenate([expected, expected.mean(0, keepdims=True)])
        dream.step(action)
        moved = dream.snapshot().arrays["state.s"]
        found.append(np.isclose(moved, expected, atol=1e-4).all(-1).T)
    return np.array(found)


@pytest.mark.parametrize("uncertainty", [True, False])
@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_dream_follows_the_members_that_it_was_asked_to(unsure, propagation, uncertainty):
    hits = followed(unsure, propagation, uncertainty)
    assert (hits.sum(-1) == 1).all(), "each step must follow one, and the members must differ"
    chosen = hits.argmax(-1)
    if propagation == "mean":
        assert (chosen == 3).all()
    elif propagation == "member":
        assert (chosen == 0).all()
    elif propagation == "tsinf":
        assert (chosen == chosen[0]).all()
        assert set(chosen[0]) == {0, 1, 2}
    else:
        counts = np.bincount(chosen.ravel(), minlength=4)
        expected = LANES * STEPS / 3
        # Five standard deviations of a binomial count.
        assert np.abs(counts[:3] - expected).max() < 5 * np.sqrt(expected * 2 / 3)
        assert (np.diff(chosen, axis=0) != 0).any(0).all(), "every lane must change its member"


def test_what_is_left_out_is_the_packages_own(make_unsure_package):
    for place, name in enumerate(PROPAGATIONS):
        own = make_unsure_package(propagation=place)
        shown = []
        for dream in (Dream(own, 3), Dream(own, 3, propagation=name)):
            dream.reset(seeds=[1, 2, 3])
            shown.append(dream.step(np.full((3, 3), 0.5, np.float32)).observation)
        assert shown[0].tobytes() == shown[1].tobytes(), name


def test_members_are_part_of_the_fingerprint_but_not_of_the_identity(unsure):
    dreams = [Dream(unsure, 1, propagation=name) for name in PROPAGATIONS]
    assert len({dream.fingerprint for dream in dreams}) == len(PROPAGATIONS)
    dreams[0].reset(seeds=[3])
    dreams[1].restore(dreams[0].snapshot())


def test_what_cannot_be_followed_is_refused(unsure, small, tiny_package, unsure_package):
    for bad in ("TS1", 0, True, "best"):
        with pytest.raises(ValueError, match=r"propagation is .*; expected one of \"ts1\""):
            Dream(unsure, 1, propagation=bad)
        with pytest.raises(ValueError, match="expected one of"):
            dream_source(unsure_package, propagation=bad)
    with pytest.raises(ValueError, match="family mdnrnn\\) has no members to follow"):
        Dream(small, 1, propagation="mean")
    with pytest.raises(ValueError, match="family mdnrnn\\) has no members to follow"):
        dream_source(tiny_package, propagation="mean")


def test_it_is_a_keyword_of_envs(unsure_package):
    observations = []
    for propagation in ("mean", "member", None):
        env = make_env(unsure_package, propagation=propagation, temperature=0.0)
        env.reset(seed=1)
        observations.append(env.step(np.ones(3, np.float32))[0])
        env.close()
    assert not np.allclose(observations[0], observations[1])
