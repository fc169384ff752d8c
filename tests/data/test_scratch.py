"""Folders for work on the way go when their work ends, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from dreamenv.data.scratch import scratch_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from dreamenv.data.scratch import scratch_folder
with scratch_folder(".work-", Path(sys.argv[1])) as folder:
    (folder / "half").write_text("of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_it_goes_with_the_block_and_with_an_error(tmp_path):
    with scratch_folder(".work-", tmp_path) as folder:
        (folder / "file").write_text("")
        assert folder.parent == tmp_path
    with pytest.raises(RuntimeError, match="halfway"), scratch_folder(".work-", tmp_path):
        raise RuntimeError("halfway")
    assert names(tmp_path) == set()


def test_what_a_killed_process_left_goes_with_the_next(tmp_path):
    for kept in (".work-of-mine", ".other-work", "work-"):  # folders of other names, or not ours
        (tmp_path / kept).mkdir()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 4
    with scratch_folder(".work-", tmp_path) as one, scratch_folder(".work-", tmp_path) as other:
        assert names(tmp_path) == {".work-of-mine", ".other-work", "work-", one.name, other.name}
    assert names(tmp_path) == {".work-of-mine", ".other-work", "work-"}
