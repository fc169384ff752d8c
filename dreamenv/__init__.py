"""dreamenv: a trained world model as a Gymnasium environment.

Importing it registers the ids (``gym.make("Dream-CarRacing-v0")``, ``gym.make("Dream-v0",
model=PATH)``) and imports no torch: that comes with the first reset.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dreamenv.registration import register_dreams

if TYPE_CHECKING:
    from dreamenv_client import DreamEnv, DreamVectorEnv

    from dreamenv import sb3
    from dreamenv.dream import Dream
    from dreamenv.packages import Package, load_package, save_package, verify_package
    from dreamenv.real import make_real

    __version__: str

__all__ = [
    "Dream",
    "DreamEnv",
    "DreamVectorEnv",
    "Package",
    "__version__",
    "load_package",
    "make_real",
    "save_package",
    "sb3",
    "verify_package",
]

_HOMES = {
    "Dream": "dreamenv.dream",
    "DreamEnv": "dreamenv_client",
    "DreamVectorEnv": "dreamenv_client",
    "Package": "dreamenv.packages",
    "load_package": "dreamenv.packages",
    "make_real": "dreamenv.real",
    "save_package": "dreamenv.packages",
    "verify_package": "dreamenv.packages",
}

register_dreams()


def __getattr__(name: str) -> Any:
    if name == "sb3":
        return importlib.import_module("dreamenv.sb3")
    if name == "__version__":
        from importlib.metadata import version

        return version("dreamenv")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
