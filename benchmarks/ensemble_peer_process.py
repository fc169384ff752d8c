"""``ensemble_peer.py`` in a process of its own, which waits while others are timed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import torch

from dreamenv.models.ensemble import EnsembleSizes


class Peer:
    """mbrl-lib, at the sizes of one of our ensembles.

    Args:
        python: one that has mbrl.

    Raises:
        RuntimeError: it ended; what it said of that went to the terminal.
    """

    def __init__(self, python: str, sizes: EnsembleSizes, lanes: int) -> None:
        names = ("observation", "action", "hidden", "layers", "members", "elites")
        numbers = [*(getattr(sizes, name) for name in names), lanes]
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("ensemble_peer.py")), *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._input = self._process.stdin
        self.versions: dict[str, str] = json.loads(self._answer("peer"))

    def timed(self, case: str, seconds: float) -> float:
        """Seconds a call, over at least so many seconds, with as many threads as torch has here."""
        self._input.write(f"{case} {torch.get_num_threads()} {seconds}\n")
        self._input.flush()
        return float(self._answer("took"))

    def close(self) -> None:
        self._input.close()
        self._process.wait()

    def _answer(self, word: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        raise RuntimeError(f"the peer ended with {self._process.wait()} and said nothing")
