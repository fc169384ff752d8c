"""Where dreamenv keeps what it can get again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``DREAMENV_CACHE``, or ``~/.cache/dreamenv``."""
    return Path(os.environ.get("DREAMENV_CACHE") or Path.home() / ".cache" / "dreamenv")
