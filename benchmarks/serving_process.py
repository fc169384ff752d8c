"""Servers in processes of their own, and what they cost."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
QUIET = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GRPC_VERBOSITY": "ERROR"}
BUCKET = re.compile(r'^dreamenv_batch_lanes_bucket\{le="([0-9.]+|\+Inf)"\} ([0-9.e+]+)$', re.M)


class Server:
    """A process that says on a line of its own where it can be reached.

    Args:
        command: to run.
        said: matches that line; its first group is kept.
        threads: of OpenMP.
    """

    def __init__(self, command: Sequence[str], said: str, threads: int = 1) -> None:
        environment = os.environ | QUIET | {"OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := re.search(said, line):
                self.said = match[1]
                return
        raise RuntimeError(f"{' '.join(command)}: ended with {self._process.wait()} at its start.")

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        return cpu_seconds(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class DreamServing(Server):
    """``dreamenv serve``, as a user starts it."""

    def __init__(self, dream: str, threads: int) -> None:
        self._keys = tempfile.TemporaryDirectory()
        self._metrics = f"127.0.0.1:{free_port()}"
        command = [str(Path(sys.executable).with_name("dreamenv")), "serve", "--model", dream]
        command += ["--address", "127.0.0.1:0", "--metrics-address", self._metrics]
        command += ["--threads", str(threads), "--drain-seconds", "0", "--log-level", "warning"]
        command += ["--key-file", f"{self._keys.name}/key"]
        super().__init__(command, r"^serving .* on (\S+)$", threads)
        self.address = self.said

    def batches(self) -> dict[str, int]:
        """How many batches there were so far, by the most lanes that they had."""
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as page:
            text = page.read().decode()
        counts: dict[str, int] = {}
        below = 0
        for bound, count in BUCKET.findall(text):
            name = bound.removesuffix(".0")
            counts[name] = round(float(count)) - below
            below = round(float(count))
        return counts

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._keys.cleanup()


class EchoServing(Server):
    """``serving_echo.py``."""

    def __init__(self) -> None:
        super().__init__([sys.executable, str(HERE / "serving_echo.py")], r"^echo on (\S+)$")
        self.address = self.said


class PeerServing(Server):
    """``serving_peer.py``, under a Python that has dm-env-rpc."""

    def __init__(self, python: Path, folder: Path, clients: int) -> None:
        import torch

        site = str(Path(torch.__file__).parents[1])
        script = str(HERE / "serving_peer.py")
        super().__init__([str(python), script, site, str(folder), str(clients)], r"^peer (\{.*)$")
        told: dict[str, Any] = json.loads(self.said)
        self.address: str = told["address"]
        self.opening = [bytes.fromhex(message) for message in told["opening"]]
        self.steps = [bytes.fromhex(message) for message in told["steps"]]
        self.versions: dict[str, str] = told["versions"]


def cpu_seconds(process: int | str = "self") -> float:
    """Processor time that a process and its threads have used, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
