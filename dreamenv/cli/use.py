"""Commands that use a dream: list, info, learn, evaluate, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamenv.cli.door import Dream, Seed, print_json

PANEL = "Use a dream"


def add_to(app: typer.Typer) -> None:
    """Register this file's commands."""
    app.command("list", rich_help_panel=PANEL)(list_dreams)
    for command in (info,):
        app.command(rich_help_panel=PANEL)(command)


def list_dreams(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List the dreams that come with dreamenv."""
    from dreamenv.packages import load_config
    from dreamenv.sources import shipped

    dreams = {name: load_config(name) for name in shipped()}
    if as_json:
        print_json({name: config.model_dump(mode="json") for name, config in dreams.items()})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("dream", "real env", "family", "real frames", "features", box=None, pad_edge=False)
    for name, config in dreams.items():
        frames = config.provenance.get("real_steps")
        table.add_row(
            name,
            config.real.env_id,
            config.family,
            f"{frames:,}" if isinstance(frames, int) else "–",
            str(config.features),
        )
    Console().print(table)


def info(
    dream: Dream,
    as_json: Annotated[bool, typer.Option("--json", help="config.json, for scripts.")] = False,
) -> None:
    """Show a dream's card: what it is, its gap to the real env, how it was made.

    [cyan]dreamenv info Dream-CarRacing-v0[/cyan]
    """
    from dreamenv.packages import load_config
    from dreamenv.sources import resolve

    folder = resolve(dream)
    config = load_config(folder)
    if as_json:
        print_json(config.model_dump(mode="json"))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    # A stranger's card may hold the terminal's escape sequences.
    Console().print(Markdown("".join(c for c in card if c.isprintable() or c == "\n")))
