from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Test modules have no package (--import-mode=importlib): let them find toy.py by name.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "server" / "faults"))


@pytest.fixture(scope="session")
def packages(unsure_package: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of small packages whose episodes end by themselves, by the name they are served."""
    from lively import save_lively

    folder = tmp_path_factory.mktemp("packages")
    return {
        "lively": save_lively(folder / "lively"),
        "discrete": save_lively(folder / "discrete", discrete=True),
        unsure_package.name: unsure_package,
    }


@pytest.fixture(scope="session")
def far(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of them and of the shipped dreams; not to be stopped."""
    from far_server import FarServer

    from dreamenv.sources import shipped

    models = [*map(str, packages.values()), *shipped()]
    folder = tmp_path_factory.mktemp("far")
    with FarServer(folder, models, client_ping_seconds=0.1) as server:
        yield server
