"""The server around the dream service: its port, its doors, its start and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from dreamenv_client.v1 import dream_pb2
from grpc_reflection.v1alpha import reflection

from dreamenv_server.address import Address
from dreamenv_server.auth import TokenInterceptor, client_of
from dreamenv_server.health import Health, HealthDoor
from dreamenv_server.logs import say
from dreamenv_server.metrics import Metrics
from dreamenv_server.metrics_door import MetricsDoor
from dreamenv_server.quotas import QuotaConfig, Quotas
from dreamenv_server.served_names import served_names
from dreamenv_server.snapshot_key import load_key
from dreamenv_server.tls import ServerTLS, TLSFiles
from dreamenv_server.tokens import Tokens

if TYPE_CHECKING:
    from dreamenv_server.service import DreamService

SERVICE = dream_pb2.DESCRIPTOR.services_by_name["Dreams"].full_name
GOODBYE_SECONDS = 2.0
"""For the last replies on their way, once every stream was told where it stands."""
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ServerConfig:
    """What a server serves, where, and to whom."""

    address: str = "127.0.0.1:50051"
    """Port 0 lets the system choose. Not a loopback address without TLS and a token (or client
    CA), unless ``insecure``."""
    models: tuple[str, ...] = ()
    """See :func:`~dreamenv_server.served_names.served_names`."""
    device: str = "cpu"
    compile: bool = False
    lanes: int = 1024
    """Over all clients, for each model and kind of observation."""
    threads: int | None = None
    """Torch's; its own choice by default."""
    lease_seconds: float = 60.0
    drain_seconds: float = 30.0
    """How long running sessions may go on after SIGTERM."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    token_file: Path | None = None
    insecure: bool = False
    key_file: Path | None = None
    """See :func:`~dreamenv_server.snapshot_key.load_key`."""
    health_address: str | None = None
    metrics_address: str | None = None
    quotas: QuotaConfig = field(default_factory=QuotaConfig)
    max_message_mb: int = 64
    keepalive_seconds: float = 20.0
    """After so long a silence a connection is asked whether it lives."""
    client_ping_seconds: float = 5.0
    """Clients that ping more often than that are cut off."""
    handshake_seconds: float = 10.0
    """In which a new connection must begin to speak HTTP/2."""
    idle_seconds: float = 300.0
    """After which a connection without a call is closed; clients make another when they need it."""

    def __post_init__(self) -> None:
        for name in ("lanes", "max_message_mb", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if self.max_message_mb > 1024:
            raise ValueError(f"max_message_mb: expected at most 1024, got {self.max_message_mb}")
        for name in ("lease_seconds", "keepalive_seconds", "client_ping_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)}")
        if not 0 <= self.drain_seconds < float("inf"):
            raise ValueError(f"drain_seconds: expected 0 or more, got {self.drain_seconds}")
        self._check_doors()

    def _check_doors(self) -> None:
        address = Address.parse(self.address)
        if self.health_address is not None:
            HealthDoor(self.health_address)
        if self.metrics_address is not None:
            Address.parse(self.metrics_address, "metrics-address")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls: expected both --tls-cert and --tls-key, got one of them")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls-client-ca: expected --tls-cert and --tls-key beside it")
        known = self.token_file is not None or self.tls_client_ca is not None
        if address.is_loopback or self.insecure or (self.tls_cert is not None and known):
            return
        missing = " and ".join(
            ["--tls-cert with --tls-key"] * (self.tls_cert is None)
            + ["--token-file (or --tls-client-ca)"] * (not known)
        )
        raise ValueError(
            f"address: {address} can be reached from other machines; expected {missing} too, so "
            "that no one reads along or uses it uninvited. Serve on 127.0.0.1, or spell out "
            "--insecure."
        )

    def options(self) -> list[tuple[str, int]]:
        """Those of gRPC's server."""
        size = self.max_message_mb << 20
        ping = round(self.client_ping_seconds * 1000)
        return [
            ("grpc.so_reuseport", 0),  # a second server on the port fails
            ("grpc.max_receive_message_length", size),
            ("grpc.max_send_message_length", size),
            ("grpc.max_metadata_size", 8192),
            ("grpc.max_concurrent_streams", 1024),  # of one connection
            # So many calls may wait to be begun; from a thousand on gRPC would cancel some by lot.
            ("grpc.server.max_pending_requests", 1 << 14),
            ("grpc.server.max_pending_requests_hard_limit", 1 << 15),
            # Large observations in few frames, and windows open from the start.
            ("grpc.http2.max_frame_size", 1 << 20),
            ("grpc.http2.lookahead_bytes", 1 << 22),
            # Half-open connections die. (It is the ping's timeout that ends them: with the
            # keepalive's alone, gRPC waits for a minute.)
            ("grpc.keepalive_time_ms", round(self.keepalive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_seconds * 500)),
            ("grpc.http2.ping_timeout_ms", round(self.keepalive_seconds * 500)),
            ("grpc.http2.max_pings_without_data", 0),
            # Clients may look for them, too, whether a call is active or not.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", ping),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", ping),
            # Connections that never speak do not pile up.
            ("grpc.server_handshake_timeout_ms", round(self.handshake_seconds * 1000)),
            ("grpc.max_connection_idle_ms", round(self.idle_seconds * 1000)),
        ]


class DreamServer:
    """Serves dreams: ``await start()``, then ``await drain()`` and ``await stop()``."""

    def __init__(self, config: ServerConfig | None = None) -> None:
        self.config = config or ServerConfig()
        self.port = 0
        """The bound port, once started; so with the next two."""
        self.health_port = 0
        self.metrics_port = 0
        self.models: tuple[str, ...] = ()
        self.metrics = Metrics()
        self._health = Health(SERVICE)
        self._server: grpc.aio.Server | None = None
        self._service: DreamService | None = None
        self._interceptor: TokenInterceptor | None = None
        self._health_door: HealthDoor | None = None
        self._metrics_door: MetricsDoor | None = None

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address.parse(self.config.address).at(self.port)

    async def start(self) -> None:
        """Bind, load the models, and serve.

        Raises:
            ValueError: a model, key, token or certificate cannot be used (before any is loaded).
            OSError: an address cannot be bound.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config = self.config
        folders = served_names(config.models)
        key = load_key(config.key_file)
        tls = _tls(config)
        interceptors: Sequence[Any] = ()
        if config.token_file is not None:
            self._interceptor = TokenInterceptor(
                Tokens(config.token_file), self.metrics.unauthenticated
            )
            interceptors = (self._interceptor,)
        server = grpc.aio.server(interceptors=interceptors, options=config.options())
        self._server = server
        await self._health.say(serving=False)
        self._health.add_to(server)
        reflection.enable_server_reflection(
            (SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME), server
        )
        try:
            if tls is None:
                self.port = server.add_insecure_port(config.address)
            else:
                self.port = server.add_secure_port(config.address, tls.credentials)
        except RuntimeError as error:
            raise OSError(
                f"address: {config.address} cannot be bound; is another server there? Another "
                "port, or 0, lets the system choose."
            ) from error
        if config.health_address is not None:
            self._health_door = HealthDoor(config.health_address)
            await self._health_door.open(self._health)
            self.health_port = self._health_door.port
        if config.metrics_address is not None:
            self._metrics_door = MetricsDoor(self.metrics, config.metrics_address)
            self.metrics_port = self._metrics_door.port
        self._service = service = _service(config, folders, key, self.metrics)
        await service.start()
        service.add_to(server)
        if self._interceptor is not None:
            self._interceptor.start()
        await server.start()
        await self._health.say(serving=True)
        self.models = tuple(folders)
        say("serving", models=", ".join(folders), address=str(self.address), device=config.device)

    async def drain(self) -> None:
        """Open no more sessions; let those there are go on for ``drain_seconds``, or until all are
        closed; then tell each stream where it stands."""
        if self._service is None:
            return
        self._service.drain()
        self.metrics.draining()
        await self._health.say(serving=False)
        say("draining", sessions=self._service.sessions, seconds=self.config.drain_seconds)
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.drain_seconds
        while self._service.sessions and loop.time() < end:
            await asyncio.sleep(POLL_SECONDS)
        say("finishing", sessions=self._service.sessions)
        await self._service.finish()
        assert self._server is not None
        await self._server.stop(GOODBYE_SECONDS)

    async def stop(self) -> None:
        """End at once, and free everything. Without :meth:`drain`, calls are cut off."""
        if self._server is not None:
            await self._server.stop(None)
        if self._interceptor is not None:
            await self._interceptor.stop()
        if self._service is not None:
            await self._service.stop()
        if self._health_door is not None:
            await self._health_door.close()
        if self._metrics_door is not None:
            self._metrics_door.close()
        self._server = self._service = self._interceptor = None
        self._health_door = self._metrics_door = None
        say("stopped")


def _tls(config: ServerConfig) -> ServerTLS | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return ServerTLS(TLSFiles(config.tls_cert, config.tls_key, config.tls_client_ca))


def _service(
    config: ServerConfig, folders: dict[str, Path], key: bytes, metrics: Metrics
) -> DreamService:
    # Brings torch: only now, when everything else was found right.
    import torch

    from dreamenv_server.service import DreamService

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    return DreamService(
        folders,
        lanes=config.lanes,
        device=config.device,
        compile=config.compile,
        lease_seconds=config.lease_seconds,
        key=key,
        quotas=Quotas(config.quotas),
        metrics=metrics,
        client_of=client_of,
        max_message_bytes=config.max_message_mb << 20,
    )
