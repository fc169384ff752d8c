"""The proxy itself: it carries faithfully, and breaks what it says it breaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from proxy import KINDS, Faults, Proxy

SENT = bytes(range(256)) * 400


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that sends back what it gets."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(taken,)).start()

    def answer(taken: socket.socket) -> None:
        with taken:
            try:
                while data := taken.recv(4096):
                    taken.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def spoken(proxy: Proxy, patience: float = 30.0) -> tuple[bytes, str]:
    """What comes back of SENT, and how that ended."""
    host, port = proxy.address.split(":")
    got = b""
    try:
        with socket.create_connection((host, int(port)), timeout=patience) as client:
            client.sendall(SENT)
            while len(got) < len(SENT):
                data = client.recv(4096)
                if not data:
                    return got, "closed"
                got += data
    except TimeoutError:
        return got, "timeout"
    except OSError:
        return got, "reset"
    return got, "whole"


ENDS = {
    "reset": {"reset"},
    "cut": {"closed", "reset"},
    "half-open": {"timeout"},
    "silence": {"timeout"},
    "stall": {"whole"},
    "refuse": {"reset"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_ends_as_it_says(echo: str, kind: str):
    faults = Faults(kinds=(kind,), mean_bytes=20_000, stall_seconds=0.05)
    with Proxy(echo, faults, seed=1) as proxy:
        for count in range(1, 4):
            got, end = spoken(proxy, patience=30.0 if kind == "stall" else 0.5)
            assert got == SENT[: len(got)], "what arrives, arrives in order"
            assert end in ENDS[kind]
            assert set(proxy.broken) == {kind}
            assert proxy.broken[kind] >= count
            assert proxy.broken[kind] == count or kind == "stall"  # which is not the end
        proxy.faults = None
        assert spoken(proxy) == (SENT, "whole")


def test_dropping_resets_what_there_is(echo: str):
    with Proxy(echo) as proxy:
        host, port = proxy.address.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
            assert proxy.drop() == 1
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        assert spoken(proxy) == (SENT, "whole")


def test_a_server_that_is_not_there(echo: str):
    with Proxy("127.0.0.1:1") as proxy:
        assert spoken(proxy)[1] == "reset"
        proxy.upstream = echo
        assert spoken(proxy) == (SENT, "whole")


def test_nothing_is_left_open(echo: str):
    with Proxy(echo, Faults(mean_bytes=1000.0), seed=3) as proxy:
        for _ in range(20):
            spoken(proxy, patience=0.2)
        assert sum(proxy.broken.values()) >= proxy.accepted == 20
    assert spoken(proxy) == (b"", "reset")
