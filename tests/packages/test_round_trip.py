"""What is saved is what is loaded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamenv.config import PackageConfig
from dreamenv.errors import PackageError
from dreamenv.package_files import MAX_BYTES
from dreamenv.packages import load_config, load_package, save_package, verify_package


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    discrete=st.booleans(),
    seed=st.integers(0, 2**32),
    starts=st.integers(1, 9),
    card=st.text(st.characters(codec="utf-8")),
)
def test_round_trip(make_package, tmp_path, discrete, seed, starts, card):
    package = make_package(discrete=discrete, seed=seed, starts=starts)
    folder = save_package(package, tmp_path / "p", card)
    loaded = load_package(folder)
    assert loaded.config == package.config == load_config(folder)
    assert loaded.path == folder
    for kept, given_ in ((loaded.weights, package.weights), (loaded.starts, package.starts)):
        assert kept.keys() == given_.keys()
        for name, tensor in given_.items():
            assert kept[name].dtype == tensor.dtype
            assert torch.equal(kept[name], tensor)
    assert loaded.identity == package.identity
    assert files(folder).keys() == MAX_BYTES.keys()
    assert files(folder)["README.md"] == card.encode()


def test_another_reader_agrees(make_package, tmp_path):
    """The safetensors library's numpy reader and the json module see the same package."""
    package = make_package()
    folder = save_package(package, tmp_path / "p", "card")
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    assert weights.keys() == package.weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, package.weights[name].numpy())
    config = json.loads((folder / "config.json").read_bytes())
    assert config["real"]["env_id"] == "CarRacing-v3"
    assert PackageConfig(**config) == package.config


def test_float16_halves_matrices_and_keeps_vectors(make_package, tmp_path):
    package = make_package()
    folder = save_package(package, tmp_path / "p", "card", weight_dtype="float16")
    loaded = load_package(folder)
    stored = safetensors.numpy.load_file(folder / "model.safetensors")
    for name, tensor in package.weights.items():
        assert loaded.weights[name].dtype == torch.float32
        if tensor.ndim > 1:
            assert stored[name].dtype == np.float16
            np.testing.assert_array_equal(
                loaded.weights[name].numpy(), tensor.numpy().astype(np.float16).astype(np.float32)
            )
        else:
            assert torch.equal(loaded.weights[name], tensor)
    # Rounded once: saved again, nothing changes any more.
    again = save_package(loaded, tmp_path / "q", "card", weight_dtype="float16")
    assert load_package(again).identity == loaded.identity
    assert files(again) == files(folder)


def test_identity_tells_any_difference(make_package):
    package = make_package()
    bias = {
        **package.weights,
        "mixture.bias": package.weights["mixture.bias"].nextafter(torch.tensor(1.0)),
    }
    first = {**package.starts, "first": 1 - package.starts["first"]}
    config = package.config.model_copy(update={"name": "other"})
    identities = {
        dataclasses.replace(package, **change).identity
        for change in ({}, {"weights": bias}, {"starts": first}, {"config": config})
    }
    assert len(identities) == 4
    assert make_package().identity == package.identity
    learn = package.config.learn.model_copy(update={"timesteps": 7})
    told = package.config.model_copy(update={"provenance": {"real_steps": 1}, "learn": learn})
    assert dataclasses.replace(package, config=told).identity == package.identity


def test_world_model_is_the_trained_one_and_owns_its_weights(make_package, tiny_package):
    from dreamenv.models.families import build

    package = load_package(tiny_package)
    trained = build(package.config)
    trained.load_state_dict(make_package().weights)
    before = torch.random.get_rng_state()
    model = package.world_model()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    frames = torch.randint(0, 256, (3, 48, 48, 3), dtype=torch.uint8)
    with torch.inference_mode():
        state, expected = (
            model.begin({"observation": frames}),
            trained.begin({"observation": frames}),
        )
        assert torch.equal(model.observe(state, "features"), trained.observe(expected, "features"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    assert package.identity == load_package(tiny_package).identity == make_package().identity


def test_saving_replaces_a_package_whole(make_package, tmp_path):
    one, two = make_package(seed=1), make_package(seed=2)
    save_package(one, tmp_path / "deep" / "p", "one")
    save_package(two, tmp_path / "deep" / "p", "two")
    assert load_package(tmp_path / "deep" / "p").identity == two.identity
    assert (tmp_path / "deep" / "p" / "README.md").read_text() == "two"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["p"]


def test_saving_through_a_link_keeps_the_link(make_package, tmp_path):
    save_package(make_package(seed=1), tmp_path / "p", "one")
    (tmp_path / "link").symlink_to("p")
    save_package(make_package(seed=2), tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert load_package(tmp_path / "p").identity == make_package(seed=2).identity


@pytest.mark.parametrize("what", ["file", "folder with more"])
def test_saving_never_replaces_what_is_no_package(make_package, tmp_path, what):
    path = tmp_path / "mine"
    if what == "file":
        path.write_text("precious")
    else:
        path.mkdir()
        (path / "thesis.tex").write_text("precious")
        (path / "config.json").write_text("{}")
    before = sorted((p, p.is_file() and p.read_bytes()) for p in tmp_path.rglob("*"))
    with pytest.raises(PackageError, match=r"mine: folder: expected nothing, or a package.*found"):
        save_package(make_package(), path, "card")
    assert sorted((p, p.is_file() and p.read_bytes()) for p in tmp_path.rglob("*")) == before


def _nan(package):
    package.weights["mixture.bias"] = torch.full_like(package.weights["mixture.bias"], torch.nan)


def _too_great_for_half(package):
    package.weights["mixture.weight"] = torch.full_like(package.weights["mixture.weight"], 1e6)


def _no_first(package):
    package.starts["first"] = torch.zeros_like(package.starts["first"])


def _missing(package):
    del package.weights["mixture.bias"]


def _double(package):
    package.starts["z"] = package.starts["z"].double()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_nan, r"p/model.safetensors: mixture.bias: expected finite values, found 24 NaN"),
        (_too_great_for_half, r"p/model.safetensors: mixture.weight: expected finite"),
        (_no_first, r"p/start_states.safetensors: first: expected 0 and 1, at least one 1"),
        (_missing, r"p/model.safetensors: names: .* missing \['mixture.bias'\]"),
        (_double, r"p/start_states.safetensors: z: dtype: expected F16, found F64"),
    ],
)
def test_a_package_that_would_not_load_is_not_saved(make_package, tmp_path, spoil, said):
    good = make_package(seed=1)
    save_package(good, tmp_path / "p", "good")
    bad = make_package(seed=2)
    spoil(bad)
    with pytest.raises(PackageError, match=said):
        save_package(bad, tmp_path / "p", "bad", weight_dtype="float16")
    assert load_package(tmp_path / "p").identity == good.identity
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_provenance_that_is_no_json_is_refused(make_package, tmp_path):
    package = make_package()
    config = package.config.model_copy(update={"provenance": {"when": object()}})
    with pytest.raises(PackageError, match="provenance: expected JSON"):
        save_package(dataclasses.replace(package, config=config), tmp_path / "p", "card")
    assert list(tmp_path.iterdir()) == []


def test_verify_says_nothing_of_a_good_package(tiny_package):
    assert verify_package(tiny_package) is None
