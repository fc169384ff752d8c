"""MuJoCo's log, kept out of the working folder."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOG = logging.getLogger("dreamenv.mujoco")


@contextmanager
def no_mujoco_log() -> Iterator[None]:
    """While models are compiled in this block, MuJoCo's warnings go to :data:`LOG`, at its level
    of information.

    Left alone, it appends them to a ``MUJOCO_LOG.TXT`` in the working folder; the ones that
    Gymnasium's models cause are of deprecated attributes, which nobody here can mend. Warnings of
    the running simulation, of numbers that diverge, stay as they are.

    Raises:
        ModuleNotFoundError: MuJoCo is not installed.
    """
    mujoco: Any = importlib.import_module("mujoco")
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(LOG.info)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
