"""The folder of a dream package on disk: opened without trust, replaced without a half-way state.

Opening: only the four named files, only if they are regular files, never beyond their size limits.

Replacing: a new version is written beside the old one as ``.NAME.saving-*``, flushed to the disk,
and swapped in by two renames, ``NAME`` → ``.NAME.previous`` and ``.NAME.saving-*`` → ``NAME``. A
process killed between the two leaves ``.NAME.previous``, which readers then read and the next save
puts back; killed at any other point it leaves ``NAME`` whole, old or new.
"""

from __future__ import annotations

import glob
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from dreamenv.errors import PackageError

MEBIBYTE = 1024**2
MAX_PACKAGE_BYTES = 2048 * MEBIBYTE
MAX_BYTES = {
    "config.json": MEBIBYTE,
    "model.safetensors": MAX_PACKAGE_BYTES,
    "start_states.safetensors": MAX_PACKAGE_BYTES,
    "README.md": MEBIBYTE,
}
"""The files of a package and the most bytes each may have."""
ABANDONED_AFTER = 3600.0
"""Seconds after which a ``.saving-*`` folder is that of a killed save: a save takes seconds."""
READ_ATTEMPTS = 10


@contextmanager
def open_files(path: Path, names: Sequence[str]) -> Iterator[dict[str, BinaryIO]]:
    """Open files of a package, all of the same version even while another process replaces it.

    Raises:
        PackageError: no such folder, or a file is missing, no regular file (symlinks included) or
            too large. Nothing has been read then.
    """
    for _ in range(READ_ATTEMPTS):
        folder = _readable(path)
        version = _inode(folder)
        with ExitStack() as stack:
            try:
                files = {name: stack.enter_context(_open(folder / name)) for name in names}
            except PackageError:
                if _inode(folder) == version:
                    raise
                continue
            if _inode(folder) == version:
                _check_total(folder, files)
                yield files
                return
    raise PackageError.at(
        path,
        "folder",
        expected="one version of the package",
        found=f"another at each of {READ_ATTEMPTS} looks",
        fix="Wait until the process that saves it is done.",
    )


def replace_folder(path: Path, files: Mapping[str, bytes], check: Callable[[Path], object]) -> None:
    """Make ``path`` a folder with exactly these files, whole or not at all.

    Args:
        check: called with the new folder before it takes the old one's place; what it raises
            leaves the old one as it was.

    Raises:
        PackageError: ``path`` holds something other than a package, which would be lost.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _settle(path)
    refuse_to_overwrite_others(path)
    fresh = path.with_name(f".{path.name}.saving-{uuid.uuid4().hex}")
    fresh.mkdir()
    try:
        for name, content in files.items():
            with open(fresh / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(fresh)
        check(fresh)
        _swap_in(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _swap_in(fresh: Path, path: Path) -> None:
    previous = _previous(path)
    replaces = path.exists()
    if replaces:
        path.rename(previous)
        _sync_folder(path.parent)
    try:
        fresh.rename(path)
    except OSError:
        if replaces and not path.exists():
            previous.rename(path)
        raise
    _sync_folder(path.parent)
    if replaces:
        _discard(previous)


def _settle(path: Path) -> None:
    """Finish what a killed save left: the old version goes back if no new one took its place."""
    previous = _previous(path)
    if previous.is_dir():
        if path.exists():
            _discard(previous)
        else:
            previous.rename(path)
            _sync_folder(path.parent)
    oldest = time.time() - ABANDONED_AFTER
    for left in path.parent.glob(f".{glob.escape(path.name)}.saving-*"):
        if left.stat().st_mtime < oldest:
            shutil.rmtree(left)


def _discard(folder: Path) -> None:
    # Renamed first, so that a half-deleted folder is never taken for the version to go back to.
    rubbish = folder.with_name(f"{folder.name.removesuffix('.previous')}.saving-{uuid.uuid4().hex}")
    folder.rename(rubbish)
    shutil.rmtree(rubbish)


def refuse_to_overwrite_others(path: Path) -> None:
    """Refuse a place for a package that holds something else.

    Raises:
        PackageError: it does.
    """
    if not path.exists():
        return
    if not path.is_dir():
        found = "a file"
    else:
        others = sorted({entry.name for entry in path.iterdir()} - set(MAX_BYTES))
        if not others:
            return
        found = f"a folder that also holds {', '.join(others[:5])}"
    raise PackageError.at(
        path,
        "folder",
        expected="nothing, or a package, which this one replaces",
        found=found,
        fix="Save to another path.",
    )


def _readable(path: Path) -> Path:
    path = path.resolve()
    for folder in (path, _previous(path)):
        if folder.is_dir():
            return folder
    raise PackageError.at(
        path,
        "folder",
        expected=f"a folder with {', '.join(MAX_BYTES)}",
        found="a file" if path.exists() else "nothing",
        fix="Check the path.",
    )


def _open(file: Path) -> BinaryIO:
    fix = "Copy the package again; its files must be plain files, not links."
    limit = MAX_BYTES[file.name]
    try:
        found = os.lstat(file)
        if not stat.S_ISREG(found.st_mode):
            kind = "a link" if stat.S_ISLNK(found.st_mode) else "something else"
            raise PackageError.at(file, "file", expected="a plain file", found=kind, fix=fix)
        # Without following links or waiting for a pipe's writer, should it have changed since.
        flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        opened = os.fdopen(os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0) | flags), "rb")
    except FileNotFoundError:
        raise PackageError.at(
            file, "file", expected="a plain file", found="nothing", fix="Copy the package again."
        ) from None
    size = os.fstat(opened.fileno()).st_size
    if size > limit:
        opened.close()
        raise PackageError.at(
            file,
            "size",
            expected=f"at most {limit} bytes",
            found=f"{size}",
            fix="This is no package of ours: do not use it.",
        )
    return opened


def _check_total(folder: Path, files: Mapping[str, BinaryIO]) -> None:
    total = sum(os.fstat(file.fileno()).st_size for file in files.values())
    if total > MAX_PACKAGE_BYTES:
        raise PackageError.at(
            folder,
            "size",
            expected=f"at most {MAX_PACKAGE_BYTES} bytes in all",
            found=f"{total}",
            fix="Make the model or its bank of start states smaller.",
        )


def _previous(path: Path) -> Path:
    return path.parent / f".{path.name}.previous"


def _inode(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return  # Folders cannot be opened there.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
