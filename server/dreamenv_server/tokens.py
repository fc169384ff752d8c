"""Tokens: who may come in, by a file that may change while the server runs."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
from pathlib import Path

from dreamenv.errors import DreamenvError
from dreamenv_server.logs import say

LEAST_CHARACTERS = 16
MOST_BYTES = 1 << 20
LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}):(?P<token>[\x21-\x7e]+)")


class TokenError(DreamenvError, ValueError):
    """A token file cannot be used. The message holds no token."""


class Tokens:
    """The tokens of a file: lines of ``client-name:token``.

    Blank lines and lines that begin with ``#`` are comments. The file is read again when it has
    changed, so that a token can be added or revoked while the server runs; a change that cannot be
    read is logged, and the tokens stay as they were.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the file.

        Raises:
            TokenError: anyone may read or write it, or a line is wrong, or there is none.
            OSError: it cannot be read.
        """
        self._path = Path(path)
        # Tokens are compared as keyed hashes: how long that takes tells nothing of any token.
        self._key = secrets.token_bytes(32)
        self._version = _version(self._path)
        self._names = self._read()

    def hash(self, token: str) -> bytes:
        """What a token is looked up by."""
        # Metadata may hold any text; what is no UTF-8 is no token.
        return hmac.digest(self._key, token.encode(errors="replace"), hashlib.sha256)

    def client(self, token: str) -> str | None:
        """Whose it is, or None."""
        return self.owner(self.hash(token))

    def owner(self, hashed: bytes) -> str | None:
        """Whose token has this hash, or None."""
        self._reload()
        return self._names.get(hashed)

    def _reload(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._names = self._read()
        except (OSError, TokenError) as error:
            say("tokens_not_reloaded", level=logging.ERROR, error=str(error))
        else:
            say("tokens_reloaded", clients=len(self._names))

    def _read(self) -> dict[bytes, str]:
        path = self._path
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(MOST_BYTES + 1)
        if mode & 0o006:
            raise TokenError(
                f"{path}: expected a file that not everyone may read, found mode {mode:04o}. "
                f"Run `chmod 600 {path}`."
            )
        if len(text) > MOST_BYTES:
            raise TokenError(f"{path}: expected at most {MOST_BYTES:,} bytes, found more.")
        names: dict[bytes, str] = {}
        seen: set[str] = set()
        for number, raw in enumerate(text.decode(errors="replace").splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            match = LINE.fullmatch(line)
            where = f"{path}, line {number}"
            if match is None:
                raise TokenError(
                    f"{where}: expected client-name:token, a name of letters, digits and ._@- and "
                    "a token of printable ASCII. (The line is not shown: it may hold a token.)"
                )
            name, token = match["name"], match["token"]
            if len(token) < LEAST_CHARACTERS:
                raise TokenError(
                    f"{where}: expected a token of at least {LEAST_CHARACTERS} characters, "
                    f"found {len(token)}. `openssl rand -hex 32` makes a good one."
                )
            hashed = self.hash(token)
            if name in seen or hashed in names:
                raise TokenError(
                    f"{where}: expected one token a client, each its own; its name or its token is "
                    "in an earlier line. Remove one of the two."
                )
            names[hashed] = name
            seen.add(name)
        if not names:
            raise TokenError(f"{path}: expected at least one line client-name:token, found none.")
        return names


def _version(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does, its mode included; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino
