"""Through a proxy that breaks connections in every way, nothing is lost and nothing comes twice."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from dreamenv_client.remote_source import remote_source
from pair import Pair
from proxy import KINDS, Faults, Proxy

from dreamenv.dream import Dream
from dreamenv.packages import load_package

STEPS = 100
"""Of each session."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are noticed to be dead within half a second rather than half a minute."""
    monkeypatch.setattr("dreamenv_client.channel.KEEPALIVE_SECONDS", 0.3)
    monkeypatch.setattr("dreamenv_client.channel.KEEPALIVE_TIMEOUT", 0.2)
    monkeypatch.setattr("dreamenv_client.channel.CONNECT_SECONDS", 1.0)


def drive(address: str, package: Path, seed: int, lanes: int, steps: int) -> int:
    """Steps of a session and of its local twin, which agreed."""
    far = remote_source(address, "lively").open(lanes)
    try:
        pair = Pair(far, Dream(load_package(package), lanes), seed)
        for step in range(steps):
            pair.step()
            if step % 7 == 3:
                pair.anything()
        return pair.steps
    finally:
        far.close()


CASES = {kind: (kind,) for kind in KINDS}
CASES["refuse"] = ("refuse", "refuse", "reset")
CASES["all of them"] = KINDS


@pytest.mark.parametrize("kind", CASES)
def test_through_a_bad_network_a_dream_is_the_local_one(kind, quick, serve, lively: Path):
    own = serve(client_ping_seconds=0.1, keepalive_seconds=1.0)
    kinds = CASES[kind]
    faults = Faults(kinds=kinds, mean_bytes=6000.0, mean_seconds=2.0, stall_seconds=0.4)
    sessions = 4 if kind == "all of them" else 2
    with ExitStack() as stack:
        # gRPC shares a connection between channels to one address: two sessions have one here.
        proxies = [stack.enter_context(Proxy(own.address, faults, seed)) for seed in range(2)]
        with ThreadPoolExecutor(sessions) as pool:
            driven = [
                pool.submit(drive, proxies[n % 2].address, lively, 100 * n, n % 2 + 1, STEPS)
                for n in range(sessions)
            ]
        assert [each.result() for each in driven] == [STEPS] * sessions
        broken = sum((proxy.broken for proxy in proxies), Counter())
    assert set(broken) <= set(kinds)
    assert sum(broken.values()) >= 3
