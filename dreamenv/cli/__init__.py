"""The ``dreamenv`` command. Commands import what they need as they run."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from dreamenv.cli import audit, convert, make, serve, share, use
from dreamenv.cli.door import Door

app = typer.Typer(
    cls=Door,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    # A traceback is asked for with --debug; it never shows what variables hold.
    pretty_exceptions_enable=False,
)
use.add_to(app)
audit.add_to(app)
make.add_to(app)
convert.add_to(app)
share.add_to(app)
serve.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"dreamenv {version('dreamenv')}")
        raise typer.Exit


@app.callback()
def dreamenv(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Train a policy in the dream of a world model, and see what it scores in the real env.

    A DREAM is a shipped id (Dream-CarRacing-v0), a package's folder, or a hub id (org/name).

    [bold]From nothing to a driven lap:[/bold]

    [cyan]dreamenv learn Dream-CarRacing-v0 --out policy.zip[/cyan]
    [cyan]dreamenv evaluate policy.zip Dream-CarRacing-v0 --on real[/cyan]

    [bold]Your own dream:[/bold]

    [cyan]dreamenv loop CarRacing-v3 --real-steps 500000 --out runs/car[/cyan]

    [bold]From one machine to many learners:[/bold]

    [cyan]dreamenv serve --model Dream-CarRacing-v0[/cyan]
    """
    context.obj = {"debug": debug}
    # Read as torch loads. Threads that wait by spinning starve each other wherever anything else
    # runs: the workers of evaluate and collect, say.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
