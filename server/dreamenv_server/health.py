"""Health, by ``grpc.health.v1``: on the server's port, and at a local door without TLS.

``python -m dreamenv_server.health ADDRESS`` asks, and exits with 0 if the server serves.
"""

from __future__ import annotations

import sys

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from dreamenv_server.address import Address

STATUS = health_pb2.HealthCheckResponse
SECONDS = 5.0


class Health:
    """What the server says of its health; one for all its doors."""

    def __init__(self, *services: str) -> None:
        """Of these services and of the server as a whole; not serving yet."""
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()

    async def say(self, serving: bool) -> None:
        """Serving, or not (any more): starting, draining."""
        for service in self._services:
            await self._servicer.set(service, STATUS.SERVING if serving else STATUS.NOT_SERVING)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answer on this server's ports."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)


class HealthDoor:
    """A door of its own for health alone, without TLS or tokens, on this machine only.

    So a container whose server wants certificates of its clients can be probed from within.
    """

    def __init__(self, address: str) -> None:
        """``unix:/path`` or ``127.0.0.1:port``.

        Raises:
            ValueError: it is neither.
        """
        self._target = address
        if not address.startswith("unix:/"):
            parsed = Address.parse(address, "health-address")
            if not parsed.is_loopback:
                raise ValueError(
                    "health-address: expected unix:/path or 127.0.0.1:port, which only this "
                    f"machine can reach, got {address!r}. The server's own port answers health "
                    "checks from afar."
                )
        self._server: grpc.aio.Server | None = None
        self.port = 0
        """The bound port; 0 for a Unix socket."""

    async def open(self, of: Health) -> None:
        """Bind and answer.

        Raises:
            OSError: the address cannot be bound.
        """
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=64)
        of.add_to(server)
        try:
            port = server.add_insecure_port(self._target)
        except RuntimeError as error:
            raise OSError(
                f"health-address: {self._target} cannot be bound; is another server there?"
            ) from error
        self.port = 0 if self._target.startswith("unix:") else port
        self._server = server
        await server.start()

    async def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


def serves(address: str, seconds: float = SECONDS) -> bool:
    """Whether the server whose local door is at this address says that it serves."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=STATUS.FromString,
        )
        try:
            reply: health_pb2.HealthCheckResponse = check(
                health_pb2.HealthCheckRequest(), timeout=seconds
            )
        except grpc.RpcError as error:
            print(f"{address}: {error.code().name}: {error.details()}", file=sys.stderr)
            return False
    if reply.status != STATUS.SERVING:
        print(f"{address}: {STATUS.ServingStatus.Name(reply.status)}", file=sys.stderr)
    return bool(reply.status == STATUS.SERVING)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dreamenv_server.health unix:/path|127.0.0.1:port")
    sys.exit(0 if serves(sys.argv[1]) else 1)
