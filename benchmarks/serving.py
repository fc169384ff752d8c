"""How much of a dream's speed is left over gRPC: ratios within one run.

    python benchmarks/serving.py [--quick] [--peer-python PATH] [--out docs/figures/serving.json]

Servers run in processes of their own, all callers in this one. What is compared takes turns, block
by block, so that whatever else the machine does hits all of it alike; a ratio is the median over
the rounds, each of two blocks that followed one another. In-process steps are timed while no server
has anything to do. No episode ends (``termination="none"``), so none begins either.

The 64 clients are 64 connections with a stream each, out of one asyncio loop that sends messages
made beforehand: the same loop for the echo, the dream and the peer, whose replies it does not
decode. The echo has messages of the same sizes.

One client's round trip is held against the echo and a step in process twice: against the sum of
their medians, each in a loop of its own, and against both as one call. The second is what the same
work costs on this processor: a step that follows a message finds the caches cold.

``--peer-python`` names a Python that has dm-env-rpc (``pip install dm-env-rpc`` into a virtual
environment of its own); without it that comparison is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from dreamenv_server.allocation import keep_memory
from serving_cases import Timed, each_call, ratio, stepping, stepping_one, take_turns
from serving_load import Caller, Callers, dream_manner, echo_manner, peer_manner
from serving_process import DreamServing, EchoServing, PeerServing

import dreamenv
from dreamenv.dream import Dream
from dreamenv.packages import Package, load_package

CLIENTS = 64
VERSIONS = ("dreamenv", "torch", "numpy", "gymnasium", "grpcio", "protobuf")


class Bench:
    """Everything that is running, and how long to time it."""

    def __init__(self, arguments: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        self.dream: str = arguments.dream
        self.package: Package = load_package(dreamenv.sources.resolve(self.dream))
        self.rounds, self.seconds = arguments.rounds, arguments.seconds
        self.server = stack.enter_context(DreamServing(self.dream, arguments.threads))
        self.echo = stack.enter_context(EchoServing())
        self.peer: PeerServing | None = None
        if arguments.peer_python is not None:
            path = dreamenv.sources.resolve(self.dream)
            self.peer = stack.enter_context(PeerServing(arguments.peer_python, path, CLIENTS))
        self.loop = asyncio.new_event_loop()
        stack.callback(self.loop.close)
        self.manner = dream_manner(self.dream, self.package.config)
        self.request_bytes = len(self.manner.messages[0])
        """Of one lane; so with the next."""
        one = Callers(self.loop, self.server.address, self.manner, 1)
        self.reply_bytes = one.reply_bytes
        one.close()

    def timed(self, things: Mapping[str, Timed]) -> dict[str, Any]:
        """What each of them did, in turn."""
        gc.collect()
        gc.freeze()  # as the server does
        take_turns(things, self.rounds, self.seconds)
        return {name: thing.figures() for name, thing in things.items()}

    def vector(self, lanes: int, obs: str) -> dict[str, Any]:
        """One client of many lanes."""
        here = Timed(each_call(stepping(self.dream, lanes, obs, None)), lanes)
        there = each_call(stepping(self.dream, lanes, obs, self.server.address))
        far = Timed(there, lanes, self.server)
        figures = self.timed({"in process": here, "remote": far})
        pairs = zip(far.rates, here.rates, strict=True)
        return {"remote / in process": ratio([a / b for a, b in pairs])} | figures

    def single(self) -> dict[str, Any]:
        """One client of one lane."""
        caller = Caller(self.echo.address, self.request_bytes, self.reply_bytes)
        step = stepping_one(self.dream, None)

        def both() -> None:
            caller.run()
            step()

        echo = Timed(each_call(caller.run), server=self.echo)
        here = Timed(each_call(step))
        in_turn = Timed(each_call(both), server=self.echo)
        far = Timed(each_call(stepping_one(self.dream, self.server.address)), server=self.server)
        figures = self.timed(
            {"echo": echo, "in process": here, "echo, then in process": in_turn, "remote": far}
        )
        caller.close()
        triples = zip(far.medians, echo.medians, here.medians, strict=True)
        pairs = zip(far.medians, in_turn.medians, strict=True)
        ratios = {
            "remote / (echo + in process)": ratio([a / (b + c) for a, b, c in triples]),
            "remote / (echo, then in process)": ratio([a / b for a, b in pairs]),
        }
        return ratios | figures

    def many(self) -> dict[str, Any]:
        """Many clients of one lane each."""
        dreamers = Callers(self.loop, self.server.address, self.manner, CLIENTS)
        manner = echo_manner(self.manner.messages, self.reply_bytes)
        echoed = Callers(self.loop, self.echo.address, manner, CLIENTS)
        here = Timed(each_call(stepping(self.dream, CLIENTS, "features", None)), CLIENTS)
        echo = Timed(echoed.run, server=self.echo)
        far = Timed(dreamers.run, server=self.server)
        things = {"echo": echo, "in process, 64 lanes": here, "remote": far}
        peers: Callers | None = None
        peer = Timed(lambda _: [])
        if self.peer is not None:
            manner = peer_manner(self.peer.opening, self.peer.steps)
            peers = Callers(self.loop, self.peer.address, manner, CLIENTS)
            peer = Timed(peers.run, server=self.peer)
            things["dm-env-rpc"] = peer
        figures = self.timed(things)
        dreamers.close()
        echoed.close()
        if peers is not None:
            peers.close()
        triples = zip(far.rates, echo.rates, here.rates, strict=True)
        ratios = {
            "remote / (1 / (1 / echo + 1 / in process))": ratio(
                [a * (1 / b + 1 / c) for a, b, c in triples]
            )
        }
        if peer.rates:
            pairs = zip(far.rates, peer.rates, strict=True)
            ratios["remote / dm-env-rpc"] = ratio([a / b for a, b in pairs])
        return ratios | figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each block")
    parser.add_argument("--threads", type=int, default=1, help="of torch, here and there")
    parser.add_argument("--quick", action="store_true", help="three rounds of short blocks")
    parser.add_argument("--peer-python", type=Path, help="a Python that has dm-env-rpc")
    parser.add_argument("--only", nargs="*", choices=("256", "1", "64", "pixels"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 3, 0.3
    torch.set_num_threads(arguments.threads)
    keep_memory()  # as the server does
    wanted = arguments.only or ("256", "1", "64", "pixels")
    load = os.getloadavg()[0]
    figures: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        bench = Bench(arguments, stack)
        if "256" in wanted:
            figures["1 client of 256 lanes, features"] = bench.vector(256, "features")
        if "1" in wanted:
            figures["1 client of 1 lane"] = bench.single()
        if "64" in wanted:
            figures["64 clients of 1 lane"] = bench.many()
        if "pixels" in wanted:
            figures["1 client of 64 lanes, pixels"] = bench.vector(64, "pixels")
        about = {
            "dream": bench.dream,
            "fingerprint": Dream(bench.package, 1).fingerprint,
            "cores": os.cpu_count(),
            "threads of torch, here and in the server": arguments.threads,
            "load average before and after": [round(load, 2), round(os.getloadavg()[0], 2)],
            "rounds": arguments.rounds,
            "seconds of a block": arguments.seconds,
            "bytes of one lane's request and reply": [bench.request_bytes, bench.reply_bytes],
            "python": platform.python_version(),
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        }
        if bench.peer is not None:
            about["versions of the peer"] = bench.peer.versions
    print(json.dumps(about | figures, indent=1))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(about | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
