"""Commands that check a package and share it: verify, push, pull."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Share a dream"


def add_to(app: typer.Typer) -> None:
    """Register this file's commands."""
    for command in (verify, push, pull):
        app.command(rich_help_panel=PANEL)(command)


def verify(
    package: Annotated[Path, typer.Argument(metavar="FOLDER", help="The package's folder.")],
) -> None:
    """Check every file of a package; nothing in it is run or unpickled.

    [cyan]dreamenv verify packages/car[/cyan]
    """
    from dreamenv.packages import load_package

    checked = load_package(package)
    typer.echo(f"{package}: a whole package, {checked.config.name}, {checked.identity[:16]}")


def push(
    package: Annotated[Path, typer.Argument(metavar="FOLDER", help="The package's folder.")],
    name: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Its name on the hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new one private.")] = False,
    message: Annotated[str, typer.Option(help="The commit's message.")] = "Upload a dream package",
) -> None:
    """Upload a package to the Hugging Face Hub, after checking it.

    [cyan]hf auth login[/cyan], then [cyan]dreamenv push packages/car my-name/car-dream[/cyan]
    """
    from dreamenv.hub import push as upload

    typer.echo(upload(package, name, private=private, message=message))


def pull(
    name: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Its name on the hub.")],
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit.")] = None,
) -> None:
    """Download a package from the Hugging Face Hub, check it, and print its folder.

    [cyan]dreamenv pull my-name/car-dream[/cyan]
    """
    from dreamenv.hub import pull as download

    typer.echo(download(name, revision))
