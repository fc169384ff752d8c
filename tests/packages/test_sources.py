"""What a package may be called, and what else is said of a name that is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dreamenv import sources
from dreamenv.errors import PackageError
from dreamenv.packages import load_config, load_package
from dreamenv.sources import resolve, shipped


@pytest.fixture
def zoo(tiny_package, tmp_path, monkeypatch) -> Path:
    """A zoo of one shipped package, ``Dream-Tiny-v0``, and a folder that is none."""
    shutil.copytree(tiny_package, tmp_path / "zoo" / "Dream-Tiny-v0")
    (tmp_path / "zoo" / "real").mkdir()
    monkeypatch.setattr(sources, "ZOO", tmp_path / "zoo")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "zoo"


def test_shipped_ids(zoo):
    assert shipped() == ["Dream-Tiny-v0"]
    assert resolve("Dream-Tiny-v0") == zoo / "Dream-Tiny-v0"
    assert load_config("Dream-Tiny-v0").name == "tiny"


def test_a_shipped_id_is_never_shadowed_by_a_folder_here(zoo, make_package):
    from dreamenv.packages import save_package

    mine = save_package(make_package(seed=9), "Dream-Tiny-v0", "mine")
    assert load_package("Dream-Tiny-v0").identity == load_package(zoo / mine.name).identity
    assert load_package("./Dream-Tiny-v0").identity == make_package(seed=9).identity
    assert load_package(Path("Dream-Tiny-v0")).identity == make_package(seed=9).identity


def test_a_folder_comes_before_a_hub_id(zoo, tiny_package, monkeypatch):
    monkeypatch.setattr("dreamenv.hub.download", lambda name: pytest.fail("asked the hub"))
    shutil.copytree(tiny_package, "runs/car")
    assert load_config("runs/car").name == "tiny"
    # Also while a save that was killed has left it under its other name.
    Path("runs/car").rename("runs/.car.previous")
    assert load_config("runs/car").name == "tiny"


def test_home(zoo, tiny_package, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(tiny_package, tmp_path / "mine")
    assert load_config("~/mine").name == "tiny"


def test_an_unknown_name_lists_what_there_is_and_the_nearest(zoo):
    with pytest.raises(PackageError) as refused:
        resolve("Dream-Tinny-v0")
    message = str(refused.value)
    assert "a shipped id (Dream-Tiny-v0)" in message
    assert 'Did you mean "Dream-Tiny-v0"?' in message
    with pytest.raises(PackageError, match=r"see `dreamenv list`"):
        resolve("elephant")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "zoo:Dream",
        "os:system",
        "Dream-Tiny-v0\0",
        "a" * 5000,
        "~nobody-here/x",
        "..\\zoo\\Dream-Tiny-v0",
        "Dream-Tiny-v0/../real",
        "C:\\dreams",
        "a//b",
        "real",
    ],
)
def test_names_of_nothing(zoo, name, monkeypatch):
    monkeypatch.setattr("dreamenv.hub.download", lambda name: pytest.fail("asked the hub"))
    with pytest.raises(PackageError):
        load_config(name)
