"""The folder an audit is written to: there whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dreamenv.errors import DataError

MARK = "audit.json"


def check_out(out: Path) -> None:
    """Refuse a folder that holds something other than an earlier audit.

    Raises:
        DataError: it does.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: expected a folder to write the audit to, found a file")
    if any(out.iterdir()) and not (out / MARK).is_file():
        found = ", ".join(sorted(p.name for p in out.iterdir())[:5])
        raise DataError(
            f"{out}: expected a new or empty folder, or an earlier audit (with {MARK}), which is "
            f"replaced; found {found}. Choose another folder"
        )


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A new folder to write to, which becomes ``out`` when the block ends without an error.

    An earlier audit is moved aside first, and deleted last: killed in between, it is beside ``out``
    as ``.NAME-….previous``.
    """
    check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield fresh
        fresh.chmod(0o755)  # mkdtemp's are for their owner alone
        if not out.exists():
            fresh.rename(out)
            return
        previous = fresh.with_name(f"{fresh.name}.previous")
        out.rename(previous)
        try:
            fresh.rename(out)
        except OSError:
            previous.rename(out)
            raise
        shutil.rmtree(previous)
    finally:
        if fresh.exists():
            shutil.rmtree(fresh)
