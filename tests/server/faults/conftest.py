"""Servers of small lively models, and what breaks them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# Test modules have no package (--import-mode=importlib): let them find these by name.
sys.path.insert(0, str(Path(__file__).parents[2] / "compliance"))
sys.path.insert(0, str(Path(__file__).parent))

from own_server import OwnServer

MODEL = "lively"


@pytest.fixture(scope="session")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the package that is served."""
    from lively import save_lively

    return save_lively(tmp_path_factory.mktemp("lively") / MODEL)


@pytest.fixture
def serve(lively: Path, tmp_path: Path) -> Iterator[Callable[..., OwnServer]]:
    """Starts servers of the model in this process, which end with the test."""
    from dreamenv_server.server import ServerConfig

    with ExitStack() as stack:

        def start(**config: Any) -> OwnServer:
            own = {"models": (str(lively),), "lanes": 64, "key_file": tmp_path / "key"}
            return stack.enter_context(OwnServer(ServerConfig("127.0.0.1:0", **{**own, **config})))

        yield start
