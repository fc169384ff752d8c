"""Tokens, and who may call what."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from dreamenv_server.auth import ANONYMOUS, TokenInterceptor, client_of
from dreamenv_server.health import Health
from dreamenv_server.logs import JsonLines
from dreamenv_server.tokens import LEAST_CHARACTERS, TokenError, Tokens
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

ALICE, BOB = "alice-has-this-token", "bob-has-quite-another"
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


def write(path: Path, *lines: str, mode: int = 0o600) -> Path:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return path


@pytest.fixture
def token_file(tmp_path) -> Path:
    return write(tmp_path / "tokens", "# ours", "", f"alice:{ALICE}", f"  bob:{BOB}  ")


def test_each_token_is_its_client_s(token_file):
    tokens = Tokens(token_file)
    assert tokens.client(ALICE) == "alice"
    assert tokens.client(BOB) == "bob"


@given(
    given_=st.one_of(st.text(), st.sampled_from([ALICE[:-1], ALICE + " ", "alice", f"a:{ALICE}"]))
)
def test_no_other_text_is_a_token(given_, tmp_path_factory):
    tokens = Tokens(write(tmp_path_factory.mktemp("t") / "tokens", f"alice:{ALICE}"))
    assert tokens.client(given_) is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["alice:short-token-0"[:15]], f"line 1: expected a token of at least {LEAST_CHARACTERS}"),
        ([f"alice:{ALICE}", f"alice:{BOB}"], "line 2: expected one token a client"),
        ([f"alice:{ALICE}", f"bob:{ALICE}"], "line 2: expected one token a client"),
        (["# none", ALICE], "line 2: expected client-name:token"),
        ([f":{ALICE}"], "line 1: expected client-name:token"),
        ([f"alice:{ALICE} {BOB}"], "line 1: expected client-name:token"),
        ([f"al ice:{ALICE}"], "line 1: expected client-name:token"),
        (["# none"], "expected at least one line"),
        (["x" * (1 << 20)], "expected at most 1,048,576 bytes"),
    ],
)
def test_a_wrong_file_is_refused_and_no_token_is_told(tmp_path, lines, said):
    with pytest.raises(TokenError, match=said) as refused:
        Tokens(write(tmp_path / "tokens", *lines))
    assert ALICE not in str(refused.value)
    assert BOB not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_that_everyone_may_read_or_write_is_refused(tmp_path, mode):
    with pytest.raises(TokenError, match=rf"found mode {mode:04o}. Run `chmod 600"):
        Tokens(write(tmp_path / "tokens", f"alice:{ALICE}", mode=mode))


def test_tokens_come_and_go_as_the_file_changes(token_file):
    tokens = Tokens(token_file)
    write(token_file, f"alice:{BOB}")
    assert tokens.client(ALICE) is None
    assert tokens.client(BOB) == "alice"


def test_a_change_that_cannot_be_read_is_logged_and_changes_nothing(token_file, caplog):
    tokens = Tokens(token_file)
    with caplog.at_level(logging.ERROR, "dreamenv_server"):
        write(token_file, f"alice:{ALICE}", "carol")
        assert tokens.client(BOB) == "bob"
        token_file.chmod(0o644)
        assert tokens.client(BOB) == "bob"
        token_file.unlink()
        assert tokens.client(BOB) == "bob"
        assert tokens.client(ALICE) == "alice"  # and it is said once, not at each call
    logged = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [each["event"] for each in logged] == ["tokens_not_reloaded"] * 3
    assert "line 2" in logged[0]["error"]
    assert "0644" in logged[1]["error"]
    assert "No such file" in logged[-1]["error"]
    assert ALICE not in caplog.text
    write(token_file, f"carol:{ALICE}")
    assert tokens.client(ALICE) == "carol"


# ------------------------------------------------------------------------------------- on the wire


async def _unary(request: bytes, context: Any) -> bytes:
    return client_of(context).encode()


async def _replies(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for _ in range(2):
        yield client_of(context).encode()


async def _collect(requests: AsyncIterator[bytes], context: Any) -> bytes:
    async for _ in requests:
        pass
    return client_of(context).encode()


async def _talk(_: Any, context: Any) -> None:
    while await context.read() is not grpc.aio.EOF:
        await context.write(client_of(context).encode())


METHODS = {
    "unary_unary": grpc.unary_unary_rpc_method_handler(_unary),
    "unary_stream": grpc.unary_stream_rpc_method_handler(_replies),
    "stream_unary": grpc.stream_unary_rpc_method_handler(_collect),
    "stream_stream": grpc.stream_stream_rpc_method_handler(_talk),
}


def with_server(
    interceptor: TokenInterceptor | None,
    use: Callable[[grpc.aio.Channel], Awaitable[None]],
) -> None:
    """A server with a method of each shape and with health, for as long as it is used."""

    async def run() -> None:
        server = grpc.aio.server(interceptors=[interceptor] if interceptor else [])
        handler = grpc.method_handlers_generic_handler("test.Who", METHODS)
        server.add_generic_rpc_handlers((handler,))
        health = Health()
        health.add_to(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await health.say(serving=True)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await use(channel)
        await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 30))


async def ask(channel: grpc.aio.Channel, shape: str, *authorization: str) -> list[bytes]:
    """What a method of this shape answers to one message, under such metadata."""
    metadata = [("authorization", value) for value in authorization]
    call = getattr(channel, shape)(f"/test.Who/{shape}")
    sent = iter([b"who"]) if shape.startswith("stream") else b"who"
    reply = call(sent, metadata=metadata)
    if shape.endswith("unary"):
        return [await reply]
    return [each async for each in reply]


@pytest.mark.parametrize("shape", list(METHODS))
def test_a_call_of_any_shape_needs_a_good_token(token_file, shape):
    refusals = []
    interceptor = TokenInterceptor(Tokens(token_file), lambda: refusals.append(shape))

    async def use(channel: grpc.aio.Channel) -> None:
        assert set(await ask(channel, shape, f"Bearer {ALICE}")) == {b"alice"}
        assert set(await ask(channel, shape, f"bearer  {BOB}")) == {b"bob"}
        assert refusals == []
        wrong = [("Bearer wrong",), (f"Basic {ALICE}",), (ALICE,), ("Bearer",), ("",), ()]
        # Of several, the last one counts.
        wrong.append((f"Bearer {ALICE}", "Bearer wrong"))
        for each in wrong:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(channel, shape, *each)
            assert refused.value.code() is UNAUTHENTICATED
            assert "authorization: Bearer TOKEN" in refused.value.details()
            assert ALICE not in refused.value.details()
        assert len(refusals) == len(wrong)

    with_server(interceptor, use)


def test_each_of_many_calls_at_once_has_its_own_client(token_file):
    async def use(channel: grpc.aio.Channel) -> None:
        shapes = [shape for shape in METHODS for _ in range(20)]
        whose = [(ALICE, BOB)[number % 2] for number in range(len(shapes))]
        answers = await asyncio.gather(
            *(
                ask(channel, *each)
                for each in zip(shapes, map("Bearer {}".format, whose), strict=True)
            )
        )
        for token, answer in zip(whose, answers, strict=True):
            assert set(answer) == {b"alice" if token == ALICE else b"bob"}

    with_server(TokenInterceptor(Tokens(token_file), lambda: None), use)


def test_health_needs_no_token_and_a_missing_method_is_missing_for_all(token_file):
    async def use(channel: grpc.aio.Channel) -> None:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        assert (await check(b"")).status == health_pb2.HealthCheckResponse.SERVING
        for metadata in ((), (("authorization", f"Bearer {ALICE}"),)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary("/test.Who/nothing")(b"", metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with_server(TokenInterceptor(Tokens(token_file), lambda: None), use)


def test_without_tokens_everyone_is_one_client():
    async def use(channel: grpc.aio.Channel) -> None:
        assert await ask(channel, "unary_unary") == [ANONYMOUS.encode()]
        assert await ask(channel, "unary_unary", f"Bearer {ALICE}") == [ANONYMOUS.encode()]

    with_server(None, use)


def test_a_revoked_token_ends_its_streams_and_no_others(token_file):
    interceptor = TokenInterceptor(Tokens(token_file), lambda: None)

    async def use(channel: grpc.aio.Channel) -> None:
        streams = []
        for token in (ALICE, ALICE, BOB):
            metadata = (("authorization", f"Bearer {token}"),)
            stream = channel.stream_stream("/test.Who/stream_stream")(metadata=metadata)
            await stream.write(b"who")
            await stream.read()
            streams.append(stream)
        write(token_file, f"bob:{BOB}", f"carol:{'c' * 16}")
        interceptor.end_revoked()
        for stream in streams[:2]:
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stream.read()
            assert ended.value.code() is UNAUTHENTICATED
            assert ended.value.details() == "the token was revoked"
        await streams[2].write(b"who")
        assert await streams[2].read() == b"bob"
        await streams[2].done_writing()
        assert await streams[2].read() is grpc.aio.EOF
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(channel, "unary_unary", f"Bearer {ALICE}")

    with_server(interceptor, use)
    assert not interceptor._streams  # nothing is kept of streams that ended
    assert not interceptor._revoked


def test_it_looks_for_revoked_tokens_by_itself(token_file):
    interceptor = TokenInterceptor(Tokens(token_file), lambda: None)

    async def use(channel: grpc.aio.Channel) -> None:
        interceptor.start(every=0.01)
        metadata = (("authorization", f"Bearer {ALICE}"),)
        stream = channel.stream_stream("/test.Who/stream_stream")(metadata=metadata)
        await stream.write(b"who")
        assert await stream.read() == b"alice"
        write(token_file, f"bob:{BOB}")
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stream.read()
        assert await stream.code() is UNAUTHENTICATED
        await interceptor.stop()

    with_server(interceptor, use)
