from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from dreamenv.audit.folder import MARK, check_out, replacing
from dreamenv.errors import DataError


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_the_folder_appears_whole_and_replaces_an_earlier_audit(tmp_path):
    out = tmp_path / "deep" / "audit"
    for text in ("first", "second"):
        with replacing(out) as folder:
            (folder / MARK).write_text(text)
            (folder / f"{text}.png").write_text("picture")
            # Meanwhile the earlier one is still there, whole.
            assert not out.exists() or (out / MARK).read_text() == "first"
        assert names(out) == [MARK, f"{text}.png"]
        assert names(out.parent) == ["audit"]
    assert out.stat().st_mode & 0o055 == 0o055


def test_an_error_leaves_the_earlier_audit_and_nothing_else(tmp_path):
    out = tmp_path / "audit"
    with replacing(out) as folder:
        (folder / MARK).write_text("first")
    with pytest.raises(RuntimeError, match="halfway"), replacing(out) as folder:  # noqa: PT012
        (folder / MARK).write_text("second")
        raise RuntimeError("halfway")
    assert (out / MARK).read_text() == "first"
    assert names(tmp_path) == ["audit"]


def test_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"found chapter\.tex\. Choose another folder"):
        check_out(tmp_path / "thesis")
    with pytest.raises(DataError, match="found a file"), replacing(tmp_path / "file"):
        pass
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_killed_while_writing_the_earlier_audit_stays(tmp_path):
    out = tmp_path / "audit"
    with replacing(out) as folder:
        (folder / MARK).write_text("first")
    script = f"""
import os, signal
from pathlib import Path
from dreamenv.audit.folder import MARK, replacing
with replacing(Path({str(out)!r})) as folder:
    (folder / MARK).write_text("sec")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (out / MARK).read_text() == "first"
