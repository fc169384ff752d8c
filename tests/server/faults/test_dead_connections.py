"""Connections that nobody closes: the server finds out by itself, and holds nothing for them."""

from __future__ import annotations

import socket
import time

import grpc
import pytest
from own_server import OwnServer
from proxy import Proxy
from raw_dreams import OWN_CONNECTION, Dreams
from raw_session import Session, StreamSession, open_request
from vitals import Vitals, vitals

PATIENCE = 30.0
"""Seconds in which a server of one-second leases must be rid of all; on however slow a machine."""


def rid(own: OwnServer, before: Vitals, *, but: str | None = None) -> dict[str, int]:
    """What the server holds beyond what it held before, once its leases are over; empty soon."""
    end = time.monotonic() + PATIENCE
    while True:
        more = own.ask(vitals).beyond(before)
        more.pop(but, None)
        if not more or time.monotonic() > end:
            return more
        time.sleep(0.1)


@pytest.fixture
def own(serve) -> OwnServer:
    own = serve(lanes=512, lease_seconds=1.0, keepalive_seconds=1.0, client_ping_seconds=0.1)
    with grpc.insecure_channel(own.address, OWN_CONNECTION) as channel:
        dreams = Dreams(channel)
        session = Session(dreams, dreams.OpenSession(open_request("lively", 2)))
        session.Reset()  # what is made once, is made now
        session.close()
    return own


def test_a_connection_that_dies_without_a_word(own: OwnServer):
    """As if the client's machine lost its power: the server must find out by itself."""
    before = own.ask(vitals)
    with (
        Proxy(own.address) as proxy,
        grpc.insecure_channel(proxy.address, OWN_CONNECTION) as channel,
    ):
        dreams = Dreams(channel)
        for _ in range(5):
            info = dreams.OpenSession(open_request("lively", 2, lease_seconds=0.5))
            StreamSession(dreams, info).Reset()
        assert own.ask(vitals).beyond(before)["sessions"] == 5
        proxy.silence()
        assert rid(own, before, but="files") == {}  # the proxy's are of this process, too
    assert rid(own, before) == {}


def test_connections_that_say_nothing(serve):
    own = serve(handshake_seconds=0.5)
    before = own.ask(vitals)
    host, port = own.address.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(50)]
    for one in silent:
        one.settimeout(PATIENCE)
        while one.recv(4096):  # until the server hangs up
            pass
        one.close()
    assert rid(own, before) == {}
