"""The server around the service: its config, its doors, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_server.address import Address
from dreamenv_server.quotas import QuotaConfig
from dreamenv_server.server import SERVICE, DreamServer, ServerConfig
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

TOKEN = "alice-has-this-token"
CODE = grpc.StatusCode
Serve = Callable[..., contextlib.AbstractAsyncContextManager[DreamServer]]


@pytest.fixture
def serve(tiny_folder, tmp_path) -> Serve:
    """Serves the tiny package; keywords are those of the config."""

    @contextlib.asynccontextmanager
    async def serving(**config: Any) -> AsyncIterator[DreamServer]:
        given = {"address": "127.0.0.1:0", "models": (str(tiny_folder),), "lanes": 16}
        given["key_file"] = tmp_path / "snapshot.key"
        server = DreamServer(ServerConfig(**given | config))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    return serving


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(in_time())


def connect(server: DreamServer, **options: int) -> grpc.aio.Channel:
    named = {name.replace("__", "."): value for name, value in options.items()}
    named["grpc.use_local_subchannel_pool"] = 1
    return grpc.aio.insecure_channel(str(server.address), options=list(named.items()))


@contextlib.contextmanager
def refused(code: grpc.StatusCode, said: str = "") -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield
    assert error.value.code() is code
    assert said in error.value.details()


# ------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "10.0.0.7:1", "gpu-box:50051"])
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), "--tls-cert with --tls-key and --token-file (or --tls-client-ca) too"),
        (("token_file",), "expected --tls-cert with --tls-key too"),
        (("tls_cert", "tls_key"), "expected --token-file (or --tls-client-ca) too"),
        (("tls_cert", "tls_key", "token_file"), None),
        (("tls_cert", "tls_key", "tls_client_ca"), None),
        (("insecure",), None),
    ],
)
def test_other_machines_are_let_in_with_tls_and_a_token_only(address, given, missing):
    config = {name: name == "insecure" or Path(name) for name in given}
    if missing is None:
        ServerConfig(address=address, **config)
        return
    with pytest.raises(ValueError, match="can be reached from other machines") as error:
        ServerConfig(address=address, **config)
    assert missing in str(error.value)
    assert "spell out --insecure" in str(error.value)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.0.1:1", "[::1]:50051", "localhost:1"])
def test_this_machine_is_let_in_as_it_is(address):
    ServerConfig(address=address)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"address": "127.0.0.1"}, "address: expected host:port"),
        ({"address": ":50051"}, "address: expected host:port"),
        ({"address": "::1:50051"}, "address: expected host:port"),
        ({"address": "127.0.0.1:65536"}, "address: expected host:port"),
        ({"address": "127.0.0.1:-1"}, "address: expected host:port"),
        ({"tls_cert": Path("c")}, "tls: expected both --tls-cert and --tls-key"),
        ({"tls_key": Path("c")}, "tls: expected both --tls-cert and --tls-key"),
        ({"tls_client_ca": Path("c")}, "tls-client-ca: expected --tls-cert and --tls-key"),
        ({"health_address": "0.0.0.0:1"}, "health-address: expected unix:/path or 127.0.0.1"),
        ({"metrics_address": "9464"}, "metrics-address: expected host:port"),
        ({"lanes": 0}, "lanes: expected at least 1"),
        ({"threads": 0}, "threads: expected at least 1"),
        ({"max_message_mb": 0}, "max_message_mb: expected at least 1"),
        ({"max_message_mb": 2048}, "max_message_mb: expected at most 1024"),
        ({"lease_seconds": float("nan")}, "lease_seconds: expected a number above 0"),
        ({"drain_seconds": -1.0}, "drain_seconds: expected 0 or more"),
        ({"drain_seconds": float("inf")}, "drain_seconds: expected 0 or more"),
    ],
)
def test_a_wrong_config_is_refused(config, said):
    with pytest.raises(ValueError) as error:
        ServerConfig(**config)
    assert str(error.value).startswith(said)


def test_addresses_read_back_as_they_are_written():
    for text in ("127.0.0.1:50051", "[::1]:0", "gpu-box.example:443"):
        assert str(Address.parse(text)) == text


# ------------------------------------------------------------------------------------ start and end


def test_it_answers_at_every_door_until_it_stops(serve, dreams):
    threads = {thread.name for thread in threading.enumerate()}

    async def test() -> None:
        doors = {"health_address": "127.0.0.1:0", "metrics_address": "127.0.0.1:0"}
        async with serve(**doors) as server, connect(server) as channel:
            models = (await dreams(channel).ListModels(pb.ListModelsRequest())).models
            assert [model.name for model in models] == ["tiny"] == list(server.models)
            assert await reflected(channel) >= {SERVICE, "grpc.health.v1.Health"}
            ports = [server.port, server.health_port, server.metrics_port]
            assert len({0, *ports}) == 4
            for service in ("", SERVICE):
                assert await health(channel, service) == health_pb2.HealthCheckResponse.SERVING
        for port in ports:
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test)
    assert "metrics" not in {thread.name for thread in threading.enumerate()} - threads


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    status: int = (await check(health_pb2.HealthCheckRequest(service=service))).status
    return status


def reflection(channel: grpc.aio.Channel) -> grpc.aio.StreamStreamMultiCallable:
    return channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )


async def reflected(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> set[str]:
    """Names of services by reflection; and that of ours is described in full."""
    ask = reflection(channel)
    wanted = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, described = [reply async for reply in ask(iter(wanted), metadata=metadata)]
    assert pb.DESCRIPTOR.serialized_pb in described.file_descriptor_response.file_descriptor_proto
    return {service.name for service in listed.list_services_response.service}


def test_a_second_server_on_the_port_fails_and_leaves_nothing_bound(serve):
    async def test() -> None:
        async with serve() as first:
            taken, before = f"127.0.0.1:{first.port}", asyncio.all_tasks()
            with pytest.raises(OSError, match=f"address: {taken} cannot be bound; is another"):
                async with serve(address=taken):
                    pass
            for door in ("health_address", "metrics_address"):
                with pytest.raises(OSError, match=f"{taken} cannot be bound"):
                    async with serve(**{door: taken}):
                        pass
            assert asyncio.all_tasks() == before

    run(test)


def test_what_cannot_be_used_is_refused_before_anything_is_loaded(serve, tmp_path, monkeypatch):
    def loaded(*_: object) -> None:
        raise AssertionError("the service was made")

    monkeypatch.setattr("dreamenv_server.server._service", loaded)
    (tmp_path / "open.key").write_bytes(bytes(32))
    (tmp_path / "open.key").chmod(0o644)
    missing = tmp_path / "missing"
    wrong = [
        {"models": ("Dream-CarRacing-v1",)},
        {"key_file": tmp_path / "open.key"},
        {"token_file": missing},
        {"tls_cert": missing, "tls_key": missing},
    ]

    async def test() -> None:
        for config in wrong:
            with pytest.raises((ValueError, OSError)) as error:
                async with serve(**config):
                    pass
            named = config.get("models", config.values())
            assert any(str(each) in str(error.value) for each in named)

    run(test)


# ------------------------------------------------------------------------------------- who and what


def test_reflection_and_dreams_want_a_token_and_health_does_not(serve, dreams, tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"alice:{TOKEN}\n")
    path.chmod(0o600)

    async def test() -> None:
        async with serve(token_file=path) as server, connect(server) as channel:
            good = ("authorization", f"Bearer {TOKEN}")
            assert SERVICE in await reflected(channel, good)
            assert await health(channel) == health_pb2.HealthCheckResponse.SERVING
            await dreams(channel).ListModels(pb.ListModelsRequest(), metadata=(good,))
            # Without a request: gRPC's client says INTERNAL where it was refused as it wrote one.
            assert await reflection(channel)().code() is CODE.UNAUTHENTICATED
            with refused(CODE.UNAUTHENTICATED):
                await dreams(channel).ListModels(pb.ListModelsRequest())
            counted = server.metrics.registry.get_sample_value("dreamenv_unauthenticated_total")
            assert counted == 2

    run(test)


def test_each_client_has_its_own_quota(serve, dreams, tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"alice:{TOKEN}\nbob:{TOKEN[::-1]}\n")
    path.chmod(0o600)
    quotas = QuotaConfig(sessions_per_client=1)
    request = pb.OpenSessionRequest(model="tiny", lanes=2)

    async def test() -> None:
        async with serve(token_file=path, quotas=quotas) as server, connect(server) as channel:
            open_session = dreams(channel).OpenSession
            alice, bob = [
                {"metadata": (("authorization", f"Bearer {token}"),)}
                for token in (TOKEN, TOKEN[::-1])
            ]
            session = (await open_session(request, **alice)).session
            with refused(CODE.RESOURCE_EXHAUSTED, "sessions of a client: expected at most 1"):
                await open_session(request, **alice)
            await open_session(request, **bob)
            theirs = pb.CloseSessionRequest(header=pb.Header(session=session))
            with refused(CODE.PERMISSION_DENIED):
                await dreams(channel).CloseSession(theirs, **bob)
            await dreams(channel).CloseSession(theirs, **alice)
            await open_session(request, **alice)

    run(test)


def test_a_revoked_token_ends_its_stream_and_its_session_goes_on_for_a_new_one(
    serve, dreams, tmp_path
):
    path = tmp_path / "tokens"
    path.write_text(f"alice:{TOKEN}\n")
    path.chmod(0o600)

    async def test() -> None:
        async with serve(token_file=path) as server, connect(server) as channel:
            calls = dreams(channel)
            old, new = [
                {"metadata": (("authorization", f"Bearer {token}"),)}
                for token in (TOKEN, TOKEN[::-1])
            ]
            info = await calls.OpenSession(pb.OpenSessionRequest(model="tiny", lanes=2), **old)
            attach = pb.SessionRequest(attach=pb.AttachRequest(session=info.session))
            stream = calls.Session(**old)
            await stream.write(attach)
            assert (await stream.read()).WhichOneof("result") == "attached"
            path.write_text(f"alice:{TOKEN[::-1]}\n")
            with refused(CODE.UNAUTHENTICATED, "the token was revoked"):
                await stream.read()  # without a call: the server looks by itself
            again = calls.Session(**new)
            await again.write(attach)
            assert (await again.read()).attached.session == info.session

    run(test)


def test_a_message_that_is_too_large_is_refused_and_the_server_goes_on(serve, dreams):
    async def test() -> None:
        async with serve(max_message_mb=1) as server, connect(server) as channel:
            with refused(CODE.RESOURCE_EXHAUSTED):
                await dreams(channel).GetModel(pb.GetModelRequest(name="x" * (1 << 21)))
            with refused(CODE.NOT_FOUND):
                await dreams(channel).GetModel(pb.GetModelRequest(name="x"))
            many = tuple((f"key-{number}", "x" * 1000) for number in range(40))
            with refused(CODE.RESOURCE_EXHAUSTED):
                await dreams(channel).ListModels(pb.ListModelsRequest(), metadata=many)
            await dreams(channel).ListModels(pb.ListModelsRequest())

    run(test)


def test_draining_opens_no_session_and_lets_those_there_are_go_on(serve, dreams):
    async def test() -> None:
        async with serve(drain_seconds=600) as server, connect(server) as channel:
            calls = dreams(channel)
            request = pb.OpenSessionRequest(model="tiny", lanes=2)
            info = await calls.OpenSession(request)
            draining = asyncio.ensure_future(server.drain())
            while await health(channel) == health_pb2.HealthCheckResponse.SERVING:
                pass
            with refused(CODE.UNAVAILABLE):
                await calls.OpenSession(request)
            header = pb.Header(session=info.session, epoch=info.epoch, seq=1)
            await calls.Reset(pb.ResetRequest(header=header))
            assert not draining.done()
            # The last session is closed: there is nothing to wait for.
            await calls.CloseSession(pb.CloseSessionRequest(header=header))
            await draining
            with refused(CODE.UNAVAILABLE):
                await calls.ListModels(pb.ListModelsRequest())

    run(test)


def test_when_draining_takes_too_long_streams_are_told_where_they_stand(serve, dreams):
    async def test() -> None:
        async with serve(drain_seconds=0) as server, connect(server) as channel:
            request = pb.OpenSessionRequest(model="tiny", lanes=2)
            info = await dreams(channel).OpenSession(request)
            stream = dreams(channel).Session()
            attach = pb.AttachRequest(session=info.session)
            await stream.write(pb.SessionRequest(attach=attach))
            await stream.write(pb.SessionRequest(seq=1, reset=pb.ResetRequest()))
            assert (await stream.read()).WhichOneof("result") == "attached"
            assert (await stream.read()).WhichOneof("result") == "lanes"
            await server.drain()
            told = await stream.read()
            assert told.draining.last_seq == 1
            assert told.draining.snapshot
            with refused(CODE.UNAVAILABLE):
                await stream.read()

    run(test)
