"""What clients leave behind in a server: crashes by the thousand, and a million steps.

    python benchmarks/serving_leaks.py [--clients 10000] [--steps 1000000] [--seed 0]

Clients live in processes that are killed (SIGKILL) at random points of their lives: as they open,
step, ask ahead without reading, roll out, or sit. Once the last lease is over, the server must hold
no session, lane, task or file that it did not hold before. Steps are whole calls, by streams of one
lane; the server's memory is read as they go on.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np
from dreamenv_client.layout import StepLayout
from dreamenv_client.v1 import dream_pb2 as pb

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS / "compliance"))
sys.path.insert(0, str(TESTS / "server" / "faults"))

from crowds import kill_crowds, left_behind, quiet
from lively import save_lively
from server_process import ServerProcess
from vitals import Vitals

CROWD = 100
"""Clients in a process that is killed."""
STREAMS = 32
READINGS = 10
SERVICE = "/dreamenv.v1.Dreams/"


def crash(server: ServerProcess, clients: int, seed: int) -> bool:
    """Whether nothing is left of so many clients."""
    kill_crowds(server.address, "lively", crowds=2, clients=CROWD, seed=seed, longest=1.0)
    before = quiet(server, 60.0)
    began = time.monotonic()
    memory = [before.memory]
    crowds = clients // CROWD
    for part in range(READINGS):
        count = crowds * (part + 1) // READINGS - crowds * part // READINGS
        first = seed + 1000 + crowds * part
        kill_crowds(server.address, "lively", crowds=count, clients=CROWD, seed=first, longest=1.0)
        memory.append(server.vitals().memory)
    more = left_behind(server, before, 60.0)
    after = server.vitals()
    print(
        f"{crowds * CROWD:,} clients killed in {time.monotonic() - began:.0f} s; left behind: "
        f"{more or 'nothing'}; before {before}, after {after}; memory as they went, MiB: "
        f"{[round(one, 1) for one in memory]}",
        flush=True,
    )
    return not more


async def stepped(address: str, streams: int, steps: int) -> None:
    """So many calls, by so many streams of one lane."""
    layout = StepLayout(1, np.dtype("<f4"), (3,))
    actions = np.zeros((1, 3), np.float32)
    async with grpc.aio.insecure_channel(address) as channel:

        async def one(count: int) -> None:
            opening = pb.OpenSessionRequest(
                model="lively", lanes=1, knobs=pb.Knobs(termination="none", horizon=10_000_000)
            )
            info = await channel.unary_unary(
                SERVICE + "OpenSession",
                pb.OpenSessionRequest.SerializeToString,
                pb.SessionInfo.FromString,
            )(opening)
            stream = channel.stream_stream(SERVICE + "Session")()
            attach = pb.SessionRequest(attach=pb.AttachRequest(session=info.session))
            reset = pb.SessionRequest(seq=1, reset=pb.ResetRequest())
            for request in (attach, reset):
                await stream.write(request.SerializeToString())
                await stream.read()
            for seq in range(2, count + 2):
                await stream.write(layout.encode(seq, actions))
                reply = await stream.read()
            told = pb.SessionReply.FromString(reply)
            assert told.seq == count + 1, told
            assert told.HasField("lanes"), told
            await stream.done_writing()

        await asyncio.gather(*(one(steps // streams) for _ in range(streams)))


def march(server: ServerProcess, steps: int) -> None:
    """Says what memory the server has as calls go on."""
    asyncio.run(stepped(server.address, STREAMS, steps // READINGS))  # to warm up
    began = time.monotonic()
    found: list[Vitals] = [server.vitals()]
    for _ in range(READINGS):
        asyncio.run(stepped(server.address, STREAMS, steps // READINGS))
        found.append(server.vitals())
    memory = np.array([one.memory for one in found])
    slope = np.polyfit(np.linspace(0, steps, len(memory)), memory, 1)[0]
    print(
        f"{steps:,} steps in {time.monotonic() - began:.0f} s; memory as they went, MiB: "
        f"{memory.round(1).tolist()}; slope {slope * 1e6:+.2f} MiB a million steps",
        flush=True,
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        package = save_lively(Path(folder) / "lively")
        config = dict(models=(str(package),), lanes=512, key_file=Path(folder) / "key")
        with ServerProcess(**config, lease_seconds=1.0) as server:
            clean = crash(server, arguments.clients, arguments.seed)
            march(server, arguments.steps)
    sys.exit(not clean)


if __name__ == "__main__":
    main()
