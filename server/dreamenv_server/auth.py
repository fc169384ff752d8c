"""Who calls: tokens, or the certificates of mutual TLS."""

from __future__ import annotations

import contextvars
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from dreamenv.errors import DreamenvError
from dreamenv_server.logs import say

ANONYMOUS = "anonymous"
LEAST_CHARACTERS = 16
MOST_BYTES = 1 << 20
OPEN_TO_ALL = "/grpc.health.v1.Health/"
LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}):(?P<token>[\x21-\x7e]+)")

_caller: contextvars.ContextVar[str | None] = contextvars.ContextVar("caller", default=None)


class TokenError(DreamenvError, ValueError):
    """A token file cannot be used. The message holds no token."""


def client_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The name of the client whose call this is.

    That of its token; without tokens, its certificate's common name (or first alternative name);
    without either, everyone is the one client "anonymous".
    """
    caller = _caller.get()
    if caller is not None:
        return caller
    identity = context.auth_context()
    for key in ("x509_common_name", "x509_subject_alternative_name"):
        for name in identity.get(key, ()):
            return str(name.decode(errors="replace"))[:256]
    return ANONYMOUS


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

    def client(self, token: str) -> str | None:
        """Whose token it is, or None."""
        self._reload()
        return self._names.get(self._hash(token))

    def _hash(self, token: str) -> bytes:
        # Metadata may hold any ASCII; surrogates never match.
        return hmac.digest(self._key, token.encode(errors="replace"), hashlib.sha256)

    def _reload(self) -> None:
        try:
            version = _version(self._path)
            if version == self._version:
                return
            self._version = version
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
            hashed = self._hash(token)
            if name in names.values() or hashed in names:
                raise TokenError(
                    f"{where}: expected one token a client, each its own; its name or its token is "
                    "in an earlier line. Remove one of the two."
                )
            names[hashed] = name
        if not names:
            raise TokenError(f"{path}: expected at least one line client-name:token, found none.")
        return names


def _version(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


Handler = Any  # grpc.RpcMethodHandler: grpc ships no types
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses every call without a good ``authorization: Bearer TOKEN``, health checks apart.

    It looks at a call as it begins, and at none of its messages.
    """

    def __init__(self, tokens: Tokens, refused: Callable[[], None]) -> None:
        """``refused`` is called for each call that is turned away."""
        self._tokens = tokens
        self._refused = refused
        message = "expected metadata `authorization: Bearer TOKEN` with a token of this server"
        self._missing = _refusals(f"{message}, found none")
        self._wrong = _refusals(f"{message}, found another")

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        if handler_call_details.method.startswith(OPEN_TO_ALL):
            return await continuation(handler_call_details)
        token = None
        for key, value in handler_call_details.invocation_metadata:
            if key == "authorization" and isinstance(value, str):
                scheme, _, given = value.partition(" ")
                token = given.strip() if scheme.lower() == "bearer" else None
        client = None if token is None else self._tokens.client(token)
        handler = await continuation(handler_call_details)
        if client is not None:
            # A call runs in a context of its own, from here to its handler.
            _caller.set(client)
            return handler
        self._refused()
        if handler is None:
            return None  # no such method: the same answer for everyone
        refusals = self._missing if token is None else self._wrong
        return refusals[bool(handler.request_streaming), bool(handler.response_streaming)]


def _refusals(message: str) -> dict[tuple[bool, bool], Handler]:
    """A handler for each shape of call, that refuses it."""

    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, message)

    return {
        (False, False): grpc.unary_unary_rpc_method_handler(refuse),
        (False, True): grpc.unary_stream_rpc_method_handler(refuse),
        (True, False): grpc.stream_unary_rpc_method_handler(refuse),
        (True, True): grpc.stream_stream_rpc_method_handler(refuse),
    }
