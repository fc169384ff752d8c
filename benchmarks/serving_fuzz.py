"""Hostile input by the hundred thousand: what a server answers, and what it does to it.

    python benchmarks/serving_fuzz.py [--cases 100000] [--attackers 2] [--seed 0]

Messages are bent in their fields, bytes and order; openings, rollouts, streams and snapshots too;
garbage is sent to the port. Beside them come 100 MB frames and 10,000 openings at once. Meanwhile
a session that behaves is compared, step by step, with the same dream in this process. Exits with 1
if any answer was none of the contract's, or the server took on memory without end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc
import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import to_tensor

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS / "compliance"))
sys.path.insert(0, str(TESTS / "server" / "faults"))

from attacker import Attacker
from lively import save_lively
from server_process import ServerProcess
from witness import Witness

MOST_MEMORY = 400.0
"""MiB that the server may have more in the end than when it was warm."""
SERVICE = "/dreamenv.v1.Dreams/"
OPENINGS = 10_000
LARGE = 100_000_000


def flood(address: str) -> Counter[str]:
    """What 10,000 openings at once, and frames of 100 MB, are answered."""
    answers: Counter[str] = Counter()
    with grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel:

        def call(method: str, request: Any) -> Any:
            return channel.unary_unary(SERVICE + method, type(request).SerializeToString).future(
                request, timeout=120
            )

        calls = [
            ("opening", call("OpenSession", pb.OpenSessionRequest(model="lively", lanes=1)))
            for _ in range(OPENINGS)
        ]
        frames = to_tensor(np.zeros(LARGE, np.uint8))
        options = pb.Options(observations=frames)
        calls += [
            ("100 MB", call("Filter", pb.FilterRequest(observations=frames))),
            ("100 MB", call("Reset", pb.ResetRequest(options=options))),
        ]
        for kind, one in calls:
            answers[f"{kind}: {one.code().name}"] += 1
    return answers


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--attackers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    share = arguments.cases // arguments.attackers
    with tempfile.TemporaryDirectory() as folder:
        package = save_lively(Path(folder) / "lively")
        config = dict(models=(str(package),), lanes=64, key_file=Path(folder) / "key")
        with ServerProcess(**config, lease_seconds=2.0) as server:

            def attack(number: int) -> Attacker:
                with Attacker(server.address, "lively", arguments.seed + number) as attacker:
                    attacker.attack(share)
                return attacker

            with Attacker(server.address, "lively", arguments.seed + 999) as warming:
                warming.attack(2000)
            before, began = server.vitals(), time.monotonic()
            with (
                Witness(server.address, "lively", package) as witness,
                ThreadPoolExecutor(arguments.attackers) as threads,
            ):
                attackers = list(threads.map(attack, range(arguments.attackers)))
                flooded = flood(server.address)
            seconds, after = time.monotonic() - began, server.vitals()
    answers: Counter[str] = Counter()
    for attacker in attackers:
        for (_, code), count in attacker.answers.items():
            answers[code.name] += count
    faults = [fault for attacker in attackers for fault in attacker.faults]
    print(f"{share * arguments.attackers:,} cases in {seconds:.0f} s; answers by status:")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in answers.most_common()))
    print("  " + ", ".join(f"{name} {count:,}" for name, count in flooded.most_common()))
    print(f"improper answers: {len(faults)}; memory {before.memory:.0f} → {after.memory:.0f} MiB")
    took = np.array(witness.seconds) * 1000
    print(
        f"the session that behaved: {len(took):,} steps, all bitwise; p50 {np.median(took):.1f} "
        f"ms, p99 {np.percentile(took, 99):.1f} ms, longest {took.max():.0f} ms"
    )
    for kind, code, told, sent in faults[:10]:
        print(f"  {kind}: {code.name} {told!r}; sent {sent[:200].hex()}")
    sys.exit(bool(faults) or after.memory - before.memory > MOST_MEMORY)


if __name__ == "__main__":
    main()
