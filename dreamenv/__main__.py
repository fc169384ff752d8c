"""``python -m dreamenv``: the ``dreamenv`` command."""

from __future__ import annotations

from dreamenv.cli import app

if __name__ == "__main__":
    app(prog_name="dreamenv")
