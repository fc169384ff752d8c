"""Nothing lost, nothing twice: sessions through a network that breaks, against dreams in process.

    python benchmarks/serving_faults.py [--steps 10000] [--sessions 20] [--seed 0]

Sessions go through TCP proxies that reset, cut, half-open, silence, stall and refuse connections at
random places and moments. Every step is compared with the same dream in this process, bitwise; in
between come snapshots, restores, branches, resets and knobs, compared alike. Connections that are
dead without a word are noticed after half a second here, after half a minute by default.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from dreamenv_client import channel
from dreamenv_client.remote_source import remote_source

from dreamenv.dream import Dream
from dreamenv.packages import load_package

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS / "compliance"))
sys.path.insert(0, str(TESTS / "server" / "faults"))

from lively import save_lively
from pair import Pair
from proxy import Faults, Proxy
from server_process import ServerProcess

SESSIONS_A_PROXY = 4
"""gRPC shares one connection among a process's channels to one address: so many break at once."""


def drive(address: str, package: Path, number: int, steps: int) -> tuple[int, int]:
    """Steps, and other calls, of a session that agreed with its local twin throughout."""
    lanes = number % 3 + 1
    far = remote_source(address, package.name).open(lanes)
    try:
        pair = Pair(far, Dream(load_package(package), lanes), 1000 * number)
        others = 0
        for step in range(steps):
            pair.step()
            if step % 10 == 5:
                pair.anything()
                others += 1
        return pair.steps, others
    finally:
        far.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000, help="of all sessions together")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("dreamenv_client").setLevel(logging.ERROR)  # it tells of every break
    channel.KEEPALIVE_SECONDS, channel.KEEPALIVE_TIMEOUT = 0.3, 0.2
    channel.CONNECT_SECONDS = 1.0
    faults = Faults(mean_bytes=20_000.0, mean_seconds=3.0, stall_seconds=1.0)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        package = save_lively(folder / "lively")
        server = stack.enter_context(
            ServerProcess(
                models=(str(package),),
                lanes=256,
                key_file=folder / "key",
                keepalive_seconds=1.0,
                client_ping_seconds=0.1,
            )
        )
        count = -(-options.sessions // SESSIONS_A_PROXY)
        proxies = [
            stack.enter_context(Proxy(server.address, faults, options.seed + n))
            for n in range(count)
        ]
        began = time.perf_counter()
        with ThreadPoolExecutor(options.sessions) as pool:
            driven = [
                pool.submit(
                    drive,
                    proxies[n % count].address,
                    package,
                    options.seed + n,
                    options.steps // options.sessions,
                )
                for n in range(options.sessions)
            ]
            results = [each.result() for each in driven]
        seconds = time.perf_counter() - began
        broken = sum((proxy.broken for proxy in proxies), Counter())
        accepted = sum(proxy.accepted for proxy in proxies)
    steps, others = (sum(column) for column in zip(*results, strict=True))
    print(f"{steps:,} steps and {others:,} other calls of {options.sessions} sessions: every array")
    print(f"bitwise the local one, in {seconds:.0f} s, over {accepted:,} connections, broken by")
    for kind, times in broken.most_common():
        print(f"  {kind:10} {times:5,}")


if __name__ == "__main__":
    main()
