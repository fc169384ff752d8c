"""A small package with random weights whose dreams are lively: states move, episodes end."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "dream"))

from random_package import SMALL, random_package

from dreamenv.packages import save_package


def save_lively(folder: Path, *, discrete: bool = False, seed: int = 0) -> Path:
    """Save one; about one episode in thirty steps ends by itself, the others at 60."""
    package = random_package(SMALL, discrete=discrete, name=folder.name, seed=seed)
    return save_package(package, folder, f"# {folder.name}\n")
