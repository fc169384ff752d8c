"""Who calls: the owner of a token, or of a certificate of mutual TLS."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from dreamenv_server.logs import say
from dreamenv_server.tokens import Tokens

ANONYMOUS = "anonymous"
OPEN_TO_ALL = "/grpc.health.v1.Health/"
LOOK_SECONDS = 2.0
"""How long a stream may outlive its token."""

_caller: contextvars.ContextVar[str | None] = contextvars.ContextVar("caller", default=None)
Context = grpc.aio.ServicerContext[Any, Any]
Handler = Any  # grpc.RpcMethodHandler, whose fields its types leave out
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


def client_of(context: Context) -> str:
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
            if name:  # a certificate without a common name has an empty one
                return str(name.decode(errors="replace"))[:256]
    return ANONYMOUS


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses every call without a good ``authorization: Bearer TOKEN``, health checks apart, and
    ends streams whose token is revoked.

    It looks at a call as it begins, and at none of its messages.
    """

    def __init__(self, tokens: Tokens, refused: Callable[[], None]) -> None:
        """``refused`` is called for each call that is turned away."""
        self._tokens = tokens
        self._refused = refused
        self._streams: defaultdict[bytes, set[asyncio.Task[Any]]] = defaultdict(set)
        """Those that run, by the hash of their token."""
        self._revoked: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.Task[None] | None = None
        message = "expected metadata `authorization: Bearer TOKEN` with a token of this server"
        self._missing = _refusals(f"{message}, found none")
        self._wrong = _refusals(f"{message}, found another")

    def start(self, every: float = LOOK_SECONDS) -> None:
        """Look for revoked tokens from now on, every so many seconds."""
        self._looking = asyncio.ensure_future(self._look(every))

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))
            self._looking = None

    def end_revoked(self) -> None:
        """End the streams whose tokens are no longer in the file."""
        for hashed in [each for each in self._streams if self._tokens.owner(each) is None]:
            streams = self._streams[hashed]
            say("token_revoked", streams=len(streams))
            self._revoked |= streams
            for stream in streams:
                stream.cancel()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        if handler_call_details.method.startswith(OPEN_TO_ALL):
            return await continuation(handler_call_details)
        hashed = None
        for key, value in handler_call_details.invocation_metadata:
            if key == "authorization" and isinstance(value, str):
                scheme, _, token = value.partition(" ")
                hashed = self._tokens.hash(token.strip()) if scheme.lower() == "bearer" else None
        client = None if hashed is None else self._tokens.owner(hashed)
        handler = await continuation(handler_call_details)
        if client is None or hashed is None:
            self._refused()
            if handler is None:
                return None  # no such method: the same answer for everyone
            refusals = self._wrong if hashed is not None else self._missing
            return refusals[bool(handler.request_streaming), bool(handler.response_streaming)]
        # A call runs in a context of its own, from here to its handler.
        _caller.set(client)
        if handler is not None:
            for shape in ("unary_stream", "stream_unary", "stream_stream"):
                behaviour = getattr(handler, shape)
                if behaviour is not None:
                    return handler._replace(**{shape: self._watched(behaviour, hashed)})
        return handler

    async def _look(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            self.end_revoked()

    def _watched(self, behaviour: Callable[..., Any], hashed: bytes) -> Callable[..., Any]:
        """A stream's behaviour that ends when its token is revoked."""

        async def coroutine(request: Any, context: Context) -> Any:
            async with self._watch(hashed, context):
                return await behaviour(request, context)

        async def generator(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._watch(hashed, context):
                async for reply in behaviour(request, context):
                    yield reply

        return generator if inspect.isasyncgenfunction(behaviour) else coroutine

    @contextlib.asynccontextmanager
    async def _watch(self, hashed: bytes, context: Context) -> AsyncIterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._streams[hashed].add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._revoked:
                raise
            task.uncancel()
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token was revoked")
        finally:
            self._revoked.discard(task)
            self._streams[hashed].discard(task)
            if not self._streams[hashed]:
                del self._streams[hashed]


def _refusals(message: str) -> dict[tuple[bool, bool], Handler]:
    """A handler for each shape of call, that refuses it."""

    async def refuse(_: Any, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, message)

    return {
        (False, False): grpc.unary_unary_rpc_method_handler(refuse),
        (False, True): grpc.unary_stream_rpc_method_handler(refuse),
        (True, False): grpc.stream_unary_rpc_method_handler(refuse),
        (True, True): grpc.stream_stream_rpc_method_handler(refuse),
    }
