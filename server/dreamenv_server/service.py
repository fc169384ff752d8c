"""``dreamenv.v1.Dreams``: the service, and everything that it needs behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import torch
from dreamenv_client.v1 import dream_pb2 as pb

from dreamenv_server.metrics import Metrics
from dreamenv_server.models import ServedModel
from dreamenv_server.quotas import Quotas
from dreamenv_server.refusal import Refused, code_of, message_of, read
from dreamenv_server.rollout import roll_out
from dreamenv_server.session import Session, Shared
from dreamenv_server.sessions import Sessions
from dreamenv_server.snapshots import Seal
from dreamenv_server.stream import Stream
from dreamenv_server.worker import Worker

log = logging.getLogger("dreamenv_server")
SERVICE = pb.DESCRIPTOR.services_by_name["Dreams"]
CALLS = ("Reset", "Step", "Configure", "Snapshot", "Restore", "Branch", "Render", "Filter")
"""Methods that are calls of a session, as on its stream."""
STATUSES = {code.value[0]: code for code in grpc.StatusCode}
Context = grpc.aio.ServicerContext[Any, Any]


class Answered(Refused):
    """A session's own refusal, which it has counted."""


class DreamService:
    """See the module. For one event loop.

    Args:
        models: folder of each package, by the name that clients ask for.
        lanes: of each model and kind of observation.
        device: of torch.
        compile: compile the steps.
        lease_seconds: of a session.
        key: secret bytes that sign snapshots.
        quotas: what each client may use.
        metrics: is told what happens.
        client_of: tells whose call it is.
        max_message_bytes: of a reply.
    """

    def __init__(
        self,
        models: Mapping[str, Path],
        *,
        lanes: int,
        device: str,
        compile: bool,
        lease_seconds: float,
        key: bytes,
        quotas: Quotas,
        metrics: Metrics,
        client_of: Callable[[Context], str],
        max_message_bytes: int,
    ) -> None:
        self._worker = Worker(metrics, torch.get_num_threads())
        self._metrics, self._client_of = metrics, client_of
        self._models = {
            name: ServedModel(
                name,
                path,
                lanes=lanes,
                device=device,
                compile=compile,
                worker=self._worker,
                metrics=metrics,
            )
            for name, path in models.items()
        }
        shared = Shared(self._worker, quotas, metrics, Seal(key), max_message_bytes)
        self._sessions = Sessions(self._models, lease_seconds, shared)

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._sessions)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service."""
        special: dict[str, Callable[[Any, Context], Awaitable[Any]]] = {
            "ListModels": self._list_models,
            "GetModel": self._get_model,
            "OpenSession": self._open_session,
            "RenewLease": self._renew_lease,
            "CloseSession": self._close_session,
            **{name: self._call(name) for name in CALLS},
        }
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in SERVICE.methods:
            kind = getattr(pb, method.input_type.name)
            serialise = getattr(pb, method.output_type.name).SerializeToString
            if method.name == "Session":
                handlers[method.name] = grpc.stream_stream_rpc_method_handler(self._session)
            elif method.name == "Rollout":
                handlers[method.name] = grpc.unary_stream_rpc_method_handler(
                    self._rollout, response_serializer=serialise
                )
            else:
                told = self._told(method.name, kind, special[method.name])
                handlers[method.name] = grpc.unary_unary_rpc_method_handler(
                    told, response_serializer=serialise
                )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),)
        )

    async def start(self) -> None:
        """Load the models and begin to work.

        Raises:
            PackageError: a model's folder is no whole package.
        """
        self._worker.start()
        for model in self._models.values():
            await model.load()
        self._sessions.start()

    def drain(self) -> None:
        """Open no more sessions; those that are open go on."""
        self._sessions.draining = True

    async def finish(self) -> None:
        """Tell every stream where its session stands, and end it."""
        await asyncio.gather(*(self._say_goodbye(session) for session in self._sessions))

    async def stop(self) -> None:
        """Close all sessions and free the device."""
        await self._sessions.stop()
        await self._worker.stop()

    async def _say_goodbye(self, session: Session) -> None:
        session.leaving = True
        if session.stream is None:
            return
        idle = asyncio.Event()
        session.when_idle(idle.set)
        await idle.wait()
        try:
            snapshot = await self._worker.run(session.sealed)
        except Exception as error:  # the stream is ended all the same
            log.error("no last snapshot", exc_info=error, extra=session.described())
            snapshot = b""
        stand = pb.Draining(last_seq=session.last_seq, snapshot=snapshot)
        why = Refused(grpc.StatusCode.UNAVAILABLE, "the server has shut down.")
        if session.stream is not None:
            session.stream(why, pb.SessionReply(draining=stand).SerializeToString())

    def _told(
        self,
        name: str,
        kind: type[Any],
        method: Callable[[Any, Context], Awaitable[Any]],
    ) -> Callable[[bytes, Context], Awaitable[Any]]:
        """A method that ends with the status of what it raises."""

        async def run(message: bytes, context: Context) -> Any:
            began = time.perf_counter()
            try:
                reply = await method(read(kind, message), context)
            except Exception as error:
                await self._abort(context, name, error, began)
            if name not in CALLS:  # those their session counts, as it does on a stream
                self._metrics.call(name, "OK", time.perf_counter() - began)
            return reply

        return run

    async def _abort(self, context: Context, name: str, error: Exception, began: float) -> None:
        code = code_of(error)
        if code is grpc.StatusCode.INTERNAL and not isinstance(error, Refused):
            log.error("%s failed", name, exc_info=error)
        if not isinstance(error, Answered):
            self._metrics.call(name, code.name, time.perf_counter() - began)
        await context.abort(code, message_of(error))

    async def _list_models(self, request: pb.ListModelsRequest, context: Context) -> Any:
        models = [model.message(config=False) for model in self._models.values()]
        return pb.ListModelsReply(models=models)

    async def _get_model(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        return self._sessions.model(request.name).message(config=True)

    async def _open_session(
        self, request: pb.OpenSessionRequest, context: Context
    ) -> pb.SessionInfo:
        return (await self._sessions.open(request, self._client_of(context))).info()

    async def _renew_lease(self, request: pb.RenewLeaseRequest, context: Context) -> pb.Lease:
        session = self._sessions.get(request.header.session, self._client_of(context))
        session.renew()
        return pb.Lease(seconds=session.lease_seconds)

    async def _close_session(
        self, request: pb.CloseSessionRequest, context: Context
    ) -> pb.CloseSessionReply:
        try:
            session = self._sessions.get(request.header.session, self._client_of(context))
        except Refused as refused:
            if refused.code is not grpc.StatusCode.NOT_FOUND:
                raise
        else:
            self._sessions.close(session, "closed")
        return pb.CloseSessionReply()

    def _call(self, name: str) -> Callable[[Any, Context], Awaitable[Any]]:
        """A session's call by itself: the same as on its stream."""

        async def run(request: Any, context: Context) -> Any:
            header = request.header
            session = self._sessions.get(header.session, self._client_of(context))
            message = pb.SessionRequest(seq=header.seq)
            getattr(message, name.lower()).CopyFrom(request)
            answer = session.handle_request(message, header.epoch)
            reply = pb.SessionReply.FromString(
                answer if isinstance(answer, bytes) else await answer
            )
            result = getattr(reply, reply.WhichOneof("result") or "error")
            if isinstance(result, pb.Error):
                raise Answered(STATUSES[result.code], result.message)
            return result

        return run

    async def _session(self, _: AsyncIterator[bytes], context: Context) -> None:
        began = time.perf_counter()
        try:
            await Stream(self._sessions, self._client_of(context), context).serve()
        except Exception as error:
            await self._abort(context, "Session", error, began)

    async def _rollout(self, message: bytes, context: Context) -> None:
        began = time.perf_counter()
        try:
            request = read(pb.RolloutRequest, message)
            session = self._sessions.get(request.header.session, self._client_of(context))
            async with contextlib.aclosing(roll_out(session, request)) as replies:
                async for reply in replies:
                    await _taken(context.write(reply), session.lease_seconds)
            self._metrics.call("Rollout", "OK", time.perf_counter() - began)
        except Exception as error:
            await self._abort(context, "Rollout", error, began)


async def _taken(writing: Awaitable[None], seconds: float) -> None:
    """Wait until the client has taken a reply.

    Raises:
        Refused: it does not read on, and holds lanes that others could have.
    """
    try:
        async with asyncio.timeout(seconds):
            await writing
    except TimeoutError as error:
        raise Refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the rollout was not read on for {seconds:g} s, and has lost its lanes: read sooner.",
        ) from error
