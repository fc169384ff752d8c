"""Commands that take rollouts from and to other formats: import, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Make a dream"
Format = Annotated[str, typer.Argument(metavar="minari", help="The other format.")]


def add_to(app: typer.Typer) -> None:
    """Register this file's commands."""
    app.command("import", rich_help_panel=PANEL)(import_rollouts)
    app.command("export", rich_help_panel=PANEL)(export_rollouts)


def import_rollouts(
    format: Format,
    dataset: Annotated[str, typer.Argument(help="Id of a local dataset.")],
    out: Annotated[Path, typer.Option(help="Folder to write, or to go on with.")],
    real: Annotated[
        str | None,
        typer.Option(
            metavar="ENV", help="Its env: CarRacing-v3, or a JSON file. Ours know their own."
        ),
    ] = None,
) -> None:
    """Take a dataset of pictures and actions as rollouts.

    [cyan]dreamenv import minari car/driven-v0 --out data/driven[/cyan]
    """
    _only_minari(format)
    from dreamenv.data.minari import import_minari
    from dreamenv.real_specs import load_real_spec

    rollouts = import_minari(dataset, out, None if real is None else load_real_spec(real))
    typer.echo(f"{out}: {len(rollouts.episodes)} episodes, {rollouts.real_steps:,} real frames")


def export_rollouts(
    format: Format,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of dreamenv collect.")],
    dataset: Annotated[str, typer.Argument(help="Id of the dataset to write: NAME-v0.")],
) -> None:
    """Write rollouts as a local dataset.

    [cyan]dreamenv export minari data/driven car/driven-v0[/cyan]
    """
    _only_minari(format)
    from dreamenv.data.minari import export_minari
    from dreamenv.data.rollouts import Rollouts

    typer.echo(str(export_minari(Rollouts.open(data), dataset)))


def _only_minari(format: str) -> None:
    if format != "minari":
        raise ValueError(f'format: expected "minari", got {format!r}')
