"""Models are built from configs that agree with themselves, and from no others."""

from __future__ import annotations

import pytest
import torch

from dreamenv.config import BoxAction, DiscreteAction
from dreamenv.errors import PackageError
from dreamenv.models.families import build, start_shapes
from dreamenv.packages import save_package


def test_a_model_of_the_configs_sizes(make_package):
    package = make_package()
    model = build(package.config)
    assert {n: t.shape for n, t in model.state_dict().items()} == {
        n: t.shape for n, t in package.weights.items()
    }
    model.load_state_dict(package.weights)
    shapes = start_shapes(package.config)
    assert {n: (len(package.starts["z"]), *s) for n, s in shapes.items()} == {
        n: tuple(t.shape) for n, t in package.starts.items() if n != "first"
    }


def test_an_ensemble_of_the_configs_sizes(make_unsure_package):
    package = make_unsure_package()
    model = build(package.config)
    assert {n: t.shape for n, t in model.state_dict().items()} == {
        n: t.shape for n, t in package.weights.items()
    }
    model.load_state_dict(package.weights)
    assert start_shapes(package.config) == {"s": tuple(package.starts["s"].shape[1:])}


def test_names_and_shapes_cost_no_memory(make_package):
    """1,024 latents, 4,096 hidden: some gigabytes, were they allocated."""
    config = make_package().config
    sizes = config.sizes | {"latent": 1024, "hidden": 4096, "mixtures": 64}
    absurd = config.model_copy(update={"sizes": sizes, "latent": 1024, "features": 5120})
    with torch.device("meta"):
        model = build(absurd)
    assert model.mixture.weight.shape == (3 * 64 * 1024, 4096)
    assert {t.device.type for t in model.state_dict().values()} == {"meta"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent": 5}, "latent: expected 4 from sizes, got 5"),
        ({"features": 11}, "features: expected 12 from sizes, got 11"),
        ({"latent_bound": 4.0}, "latent_bound: expected 8.0 from sizes, got 4.0"),
        (
            {"observation_shape": [64, 48, 3]},
            r"observation_shape: expected \[48, 48, 3\] from sizes, got \[64, 48, 3\]",
        ),
        ({"observation_shape": [48, 48]}, r"observation_shape: expected \[48, 48, 3\]"),
        ({"action": BoxAction(size=2)}, r"action: expected \[False, 3\] from sizes"),
        ({"action": DiscreteAction(n=3)}, r"action: expected \[False, 3\] from sizes"),
        ({"sizes": {"hiden": 8}}, r"sizes: unknown \['hiden'\]; family mdnrnn knows .*'hidden'"),
        ({"sizes": {"hidden": -8}}, "hidden: expected a whole number 1 to 4096, got -8"),
    ],
)
def test_configs_at_odds_with_themselves_are_refused(make_package, change, message):
    config = make_package().config
    if "sizes" in change:
        change = {"sizes": config.sizes | change["sizes"]}
    with pytest.raises(ValueError, match=message):
        build(config.model_copy(update=change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent": 5}, "latent: expected 4 from sizes, got 5"),
        ({"features": 8}, "features: expected 4 from sizes, got 8"),
        ({"latent_bound": 8.0}, "latent_bound: expected 20.0 from sizes, got 8.0"),
        ({"observation_shape": [3]}, r"observation_shape: expected \[4\] from sizes, got \[3\]"),
        ({"observation_dtype": "uint8"}, "observation_dtype: expected float32 from sizes"),
        ({"action": BoxAction(size=2)}, r"action: expected \[False, 3\] from sizes"),
        ({"action": DiscreteAction(n=3)}, r"action: expected \[False, 3\] from sizes"),
        ({"sizes": {"vae_base": 8}}, r"sizes: unknown \['vae_base'\]; family ensemble knows"),
        ({"sizes": {"elites": 9}}, "elites: expected at most the 4 members, got 9"),
        ({"sizes": {"members": 10**9}}, "members: expected a whole number 1 to 64"),
        ({"sizes": {"hidden": [64.0]}}, "hidden: expected a whole number 1 to 4096"),
    ],
)
def test_ensembles_at_odds_with_themselves_are_refused(make_unsure_package, change, message):
    config = make_unsure_package().config
    if "sizes" in change:
        change = {"sizes": config.sizes | change["sizes"]}
    with pytest.raises(ValueError, match=message):
        build(config.model_copy(update=change))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("scale", 0.0, "0 to"),
        ("change_scale", -1.0, "-1 to"),
        ("most_log_variance", 200.0, "to 200"),
        ("least_log_variance", 200.0, "to 200"),
    ],
)
def test_weights_that_dream_no_numbers_are_refused(
    make_unsure_package, tmp_path, name, value, found
):
    package = make_unsure_package()
    save_package(package, tmp_path / "good", "")
    package.weights[name][0] = value
    with pytest.raises(PackageError, match=rf"model\.safetensors: {name}: expected .*{found}"):
        save_package(package, tmp_path / "bad", "")
