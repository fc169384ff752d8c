"""One thread in a child process: threads do not survive a fork, and siblings share the cores."""

from __future__ import annotations

import multiprocessing
import os

import torch


def one_thread_in_children() -> None:
    """Give this process one torch thread if it is a ``multiprocessing`` worker, and any child that
    it forks later. A forked child of a multi-threaded torch can hang in its first parallel loop."""
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)
    if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
        os.register_at_fork(after_in_child=_one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)
