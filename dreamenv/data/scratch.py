"""A folder for work on the way, which a killed process does not leave behind for ever."""

from __future__ import annotations

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dreamenv.data.lock import sole_writer
from dreamenv.errors import DataError


@contextmanager
def scratch_folder(prefix: str, parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, its name begun by ``prefix``, until the block ends.

    Those that killed processes left under the same prefix are removed first. One at work holds the
    lock in its folder, and is left alone.
    """
    for lock in parent.glob(f"{glob.escape(prefix)}*/.lock"):
        try:
            with sole_writer(lock.parent):
                shutil.rmtree(lock.parent)
        except (DataError, FileNotFoundError):
            continue  # at work, or just done
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as made:
        folder = Path(made)
        with sole_writer(folder):
            yield folder
