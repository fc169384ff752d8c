"""The key that signs snapshots: made once, kept, and readable by its owner alone."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from dreamenv_server.snapshot_key import KeyFileError, default_key_file, load_key


def test_it_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "state" / "dreamenv" / "snapshot.key"
    before = os.umask(0)
    try:
        key = load_key(path)
    finally:
        os.umask(before)
    assert len(key) == 32
    assert load_key(path) == path.read_bytes() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]  # nothing half-made is left
    assert load_key(tmp_path / "another.key") != key


def test_servers_that_start_at_once_have_the_same_key(tmp_path):
    barrier = Barrier(8)

    def load(_: int) -> bytes:
        barrier.wait()
        return load_key(tmp_path / "snapshot.key")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load, range(8)))) == 1


def test_it_is_in_the_user_s_state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert default_key_file() == tmp_path / ".local/state/dreamenv/snapshot.key"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_key_file() == tmp_path / "state/dreamenv/snapshot.key"
    assert load_key() == (tmp_path / "state/dreamenv/snapshot.key").read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_key_that_others_may_read_or_write_is_refused(tmp_path, mode):
    path = tmp_path / "key"
    path.write_bytes(bytes(32))
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=rf"found mode {mode:04o}. Run `chmod 600 {path}`"):
        load_key(path)


@pytest.mark.parametrize(("size", "found"), [(0, "0"), (31, "31"), (33, "more")])
def test_a_key_of_another_length_is_refused(tmp_path, size, found):
    path = tmp_path / "key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=f"expected 32 bytes, found {found}"):
        load_key(path)


def test_where_none_can_be_made_the_error_names_the_flag(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "key", tmp_path):
        with pytest.raises(KeyFileError, match="Name another file with --key-file") as error:
            load_key(path)
        assert str(error.value).startswith(str(Path(path)))
