"""The key that snapshots are signed with. It outlives the server, as they do."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from dreamenv.errors import DreamenvError

BYTES = 32


class KeyFileError(DreamenvError, ValueError):
    """A key file cannot be used."""


def default_key_file() -> Path:
    """In the user's state folder: ``$XDG_STATE_HOME/dreamenv/snapshot.key``."""
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(state) if state else Path("~/.local/state").expanduser()
    return home / "dreamenv" / "snapshot.key"


def load_key(path: str | Path | None = None) -> bytes:
    """The 32 bytes of a key file, which is made (mode 0600, random) if it is not there.

    Raises:
        KeyFileError: others than its owner may read or write it, it is not 32 bytes long, or it
            can be neither read nor made.
    """
    path = default_key_file() if path is None else Path(path)
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(BYTES + 1)
    except OSError as error:
        raise KeyFileError(
            f"{path}: expected a key file, or a folder to make one in, found: {error.strerror}. "
            "Name another file with --key-file."
        ) from error
    if mode & 0o077:
        raise KeyFileError(
            f"{path}: expected a key that its owner alone may read, found mode {mode:04o}. "
            f"Run `chmod 600 {path}`, or delete it if strangers may have read it."
        )
    if len(key) != BYTES:
        raise KeyFileError(
            f"{path}: expected {BYTES} bytes, found {'more' if len(key) > BYTES else len(key)}. "
            f"Run `head -c {BYTES} /dev/urandom > {path}`, or delete it to have one made."
        )
    return key


def _make(path: Path) -> None:
    """Make a key in one step: whoever else makes it meanwhile, all read the same whole file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(secrets.token_bytes(BYTES))
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(new, path)
        except FileExistsError:
            return
    finally:
        os.unlink(new)
