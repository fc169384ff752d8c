"""TLS and mutual TLS, with real certificates, over a real port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from dreamenv_server.auth import ANONYMOUS, client_of
from dreamenv_server.tls import ServerTLS, TLSError, TLSFiles

HOST = "127.0.0.1"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def server_cert(authority) -> trustme.LeafCert:
    return authority.issue_cert(HOST)


@pytest.fixture
def files(server_cert, write_pem) -> TLSFiles:
    cert = write_pem(server_cert.cert_chain_pems[0], "server.pem")
    return TLSFiles(cert, write_pem(server_cert.private_key_pem, "server.key"))


@pytest.fixture
def mutual(files, authority, write_pem) -> TLSFiles:
    return TLSFiles(files.cert, files.key, write_pem(authority.cert_pem, "clients-ca.pem"))


@contextlib.asynccontextmanager
async def serving(tls: ServerTLS) -> AsyncIterator[int]:
    """A server that tells each client who it is."""

    async def who(request: bytes, context: Any) -> bytes:
        return client_of(context).encode()

    server = grpc.aio.server()
    handlers = {"who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Who", handlers),))
    port = server.add_secure_port(f"{HOST}:0", tls.credentials)
    await server.start()
    yield port
    await server.stop(None)


async def ask(
    port: int, ca: trustme.CA | None, client: trustme.LeafCert | None = None, *, plain: bool = False
) -> str:
    """Who the server says we are."""
    pair: tuple[bytes | None, bytes | None] = (None, None)
    if client is not None:
        pair = (client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_channel_credentials(None if ca is None else ca.cert_pem.bytes(), *pair)
    # A pool of its own: a connection that another test made would be used again.
    options = [("grpc.use_local_subchannel_pool", 1)]
    where = f"{HOST}:{port}"
    async with (
        grpc.aio.insecure_channel(where, options)
        if plain
        else grpc.aio.secure_channel(where, credentials, options)
    ) as channel:
        reply: bytes = await channel.unary_unary("/test.Who/who")(b"", timeout=20)
        return reply.decode()


async def refused(*arguments: Any, **keywords: Any) -> None:
    """The connection is refused, and not by a deadline."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(*arguments, **keywords)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_client_that_trusts_the_authority_comes_in_and_others_do_not(files, authority):
    async def run() -> None:
        async with serving(ServerTLS(files)) as port:
            assert await ask(port, authority) == ANONYMOUS
            await refused(port, trustme.CA())
            await refused(port, None)  # the system's authorities
            await refused(port, None, plain=True)
            assert await ask(port, authority) == ANONYMOUS

    asyncio.run(run())


def test_an_expired_certificate_of_the_server_is_refused(authority, write_pem):
    expired = authority.issue_cert(HOST, not_after=NOW - timedelta(days=1))
    cert = write_pem(expired.cert_chain_pems[0], "server.pem")
    files = TLSFiles(cert, write_pem(expired.private_key_pem, "server.key"))

    async def run() -> None:
        async with serving(ServerTLS(files)) as port:
            await refused(port, authority)

    asyncio.run(run())


def test_mutual_tls_wants_a_good_certificate_and_names_the_client_by_it(mutual, authority):
    alice = authority.issue_cert("alice.example", common_name="alice")
    nameless = authority.issue_cert("bob@example.org")
    expired = authority.issue_cert("alice.example", not_after=NOW - timedelta(days=1))
    stranger = trustme.CA().issue_cert("alice.example", common_name="alice")

    async def run() -> None:
        async with serving(ServerTLS(mutual)) as port:
            assert await ask(port, authority, alice) == "alice"
            assert await ask(port, authority, nameless) == "bob@example.org"
            await refused(port, authority)
            await refused(port, authority, expired)
            await refused(port, authority, stranger)
            assert await ask(port, authority, alice) == "alice"

    asyncio.run(run())


def test_a_renewed_certificate_serves_without_a_restart(files, authority):
    other = trustme.CA()
    renewed = other.issue_cert(HOST)

    async def run() -> None:
        async with serving(ServerTLS(files)) as port:
            assert await ask(port, authority) == ANONYMOUS
            renewed.cert_chain_pems[0].write_to_path(files.cert)
            # Its key is not there yet: the old pair still serves.
            assert await ask(port, authority) == ANONYMOUS
            renewed.private_key_pem.write_to_path(files.key)
            assert await ask(port, other) == ANONYMOUS
            await refused(port, authority)
            files.cert.unlink()
            assert await ask(port, other) == ANONYMOUS

    asyncio.run(run())


def test_a_renewed_authority_of_clients_counts_without_a_restart(mutual, authority):
    assert mutual.client_ca is not None
    other = trustme.CA()
    alice = other.issue_cert("alice.example", common_name="alice")

    async def run() -> None:
        async with serving(ServerTLS(mutual)) as port:
            await refused(port, authority, alice)
            other.cert_pem.write_to_path(mutual.client_ca)
            assert await ask(port, authority, alice) == "alice"

    asyncio.run(run())


def test_files_that_cannot_be_used_are_named_with_the_fix(files, authority, write_pem, tmp_path):
    other = authority.issue_cert(HOST)
    others_key = write_pem(other.private_key_pem, "other.key")
    junk = tmp_path / "junk"
    junk.write_text("no PEM")
    missing = tmp_path / "missing"
    locked = tmp_path / "locked.key"
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    password = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, password))
    for wrong, said in (
        (TLSFiles(missing, files.key), f"{missing}: expected a certificate in PEM, found: No such"),
        (TLSFiles(files.cert, missing), f"{missing}: expected a private key in PEM, found: No su"),
        (TLSFiles(files.cert, files.key, missing), f"{missing}: expected the certificates of one"),
        (TLSFiles(junk, files.key), f"{junk}: expected a certificate in PEM, found something else"),
        (TLSFiles(files.key, files.key), f"{files.key}: expected a certificate in PEM"),
        (TLSFiles(files.cert, junk), f"{junk}: expected a private key in PEM, without a password"),
        (TLSFiles(files.cert, locked), f"{locked}: expected a private key in PEM, without a passw"),
        (TLSFiles(files.cert, others_key), f"{others_key}: expected the key of {files.cert}, foun"),
        (TLSFiles(files.cert, files.key, junk), f"{junk}: expected the certificates of one or"),
    ):
        with pytest.raises(TLSError) as error:
            ServerTLS(wrong)
        assert str(error.value).startswith(said)
