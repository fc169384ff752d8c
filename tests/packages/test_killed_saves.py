"""kill -9 at any point of a save leaves a whole package: the previous one, or the new one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dreamenv import package_files
from dreamenv.errors import PackageError
from dreamenv.packages import load_config, load_package, save_package

SCRIPT = Path(__file__).with_name("killed_saves.py")


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize(("mode", "points"), [("operation", 12), ("byte", 5)])
def test_killed_at_every_point(make_package, tiny_package, tmp_path, mode, points):
    new = make_package(seed=1)
    save_package(new, tmp_path / "new", "new")
    ran = subprocess.run(
        [sys.executable, SCRIPT, tiny_package, tmp_path / "new", tmp_path / "here" / "p", mode],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    old = load_package(tiny_package)
    assert len(seen) > points
    # First always the old one, then, from some point on, always the new one.
    identities = [identity for _, identity, _ in seen]
    swapped = identities.index(new.identity)
    assert set(identities[:swapped]) == {old.identity}
    assert set(identities[swapped:]) == {new.identity}
    assert identities[-1] == new.identity
    # The moment without a folder of that name, between the two renames, was among them.
    assert all(there for _, _, there in seen) == (mode == "byte")


def test_between_the_two_renames(make_package, tmp_path):
    """Readers see the previous package, change nothing, and the next save puts it back first."""
    old, new = make_package(seed=1), make_package(seed=2)
    path = save_package(old, tmp_path / "p", "old")
    path.rename(tmp_path / ".p.previous")
    assert load_config(path) == load_config(str(path)) == old.config
    assert load_package(path).identity == load_package(str(path)).identity == old.identity
    assert [left.name for left in tmp_path.iterdir()] == [".p.previous"]
    del new.weights["mixture.bias"]
    with pytest.raises(PackageError):
        save_package(new, path, "refused")
    assert [left.name for left in tmp_path.iterdir()] == ["p"]
    assert load_package(path).identity == old.identity


def test_a_failed_rename_puts_the_previous_package_back(make_package, tmp_path, monkeypatch):
    old, new = make_package(seed=1), make_package(seed=2)
    path = save_package(old, tmp_path / "p", "old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if ".saving-" in self.name and target == path:
            raise OSError(errno.EIO, "broken disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="broken disk"):
        save_package(new, path, "new")
    assert [left.name for left in tmp_path.iterdir()] == ["p"]
    assert load_package(path).identity == old.identity


def test_everything_is_flushed_to_the_disk_before_the_swap(make_package, tmp_path, monkeypatch):
    """Power loss: contents and the new folder's entries first, then the renames."""
    path = save_package(make_package(seed=1), tmp_path / "p", "old")
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def traced_fsync(descriptor: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name[:8]}")
        fsync(descriptor)

    def traced_rename(self: Path, target: Path) -> Path:
        done.append(f"rename {self.name[:8]} {Path(target).name[:8]}")
        return rename(self, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(Path, "rename", traced_rename)
    save_package(make_package(seed=2), path, "new")
    parent = f"sync {tmp_path.name[:8]}"
    files = ["sync config.j", "sync model.sa", "sync start_st", "sync README.m"]
    swap = ["rename p .p.previ", parent, "rename .p.savin p", parent]
    assert done[:9] == [*files, "sync .p.savin", *swap]


def test_a_reader_never_mixes_two_versions(make_package, tmp_path, monkeypatch):
    """The package is replaced after the reader opened its first file."""
    old, new = make_package(seed=1), make_package(seed=2)
    path = save_package(old, tmp_path / "p", "old")
    save_package(new, tmp_path / "other", "new")
    plain_open = package_files._open
    opened: list[Path] = []

    def open_and_replace(file: Path):
        handle = plain_open(file)
        opened.append(file)
        if len(opened) == 1:
            shutil.rmtree(path)
            (tmp_path / "other").rename(path)
        return handle

    monkeypatch.setattr(package_files, "_open", open_and_replace)
    assert load_package(path).identity == new.identity
    assert [file.name for file in opened].count("config.json") == 2


def test_a_package_replaced_at_every_look_is_refused(make_package, tmp_path, monkeypatch):
    path = save_package(make_package(), tmp_path / "p", "card")
    looks = iter(range(1000))
    monkeypatch.setattr(package_files, "_inode", lambda folder: (0, next(looks)))
    with pytest.raises(PackageError, match="expected one version of the package"):
        load_package(path)
