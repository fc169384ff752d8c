"""What every command shares: errors as one readable line, and the arguments that recur."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from dreamenv.progress import Progress

USAGE_ERROR = 2
"""Exit code of an error that is the caller's to mend."""


class Door(TyperGroup):
    """Says an error that is the caller's to mend in one line, and exits with 2.

    Those are :class:`~dreamenv.errors.DreamenvError`, bad values, unknown env ids, missing extras
    and files. Anything else is a bug and keeps its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        import gymnasium as gym

        from dreamenv.errors import DreamenvError

        try:
            return super().invoke(ctx)
        except (DreamenvError, ValueError, ImportError, OSError, gym.error.Error) as error:
            # Python itself names the module it could not import; a missing extra is raised by hand.
            bug = isinstance(error, ImportError) and error.name is not None
            if bug or isinstance(error, BrokenPipeError) or (ctx.obj or {}).get("debug"):
                raise
            typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
            raise typer.Exit(USAGE_ERROR) from error


def complete_dream(incomplete: str) -> list[str]:
    """The shipped ids that begin so, for shell completion."""
    from dreamenv.sources import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


Dream = Annotated[
    str,
    typer.Argument(
        metavar="DREAM",
        help="A shipped id, a package's folder, or a hub id.",
        autocompletion=complete_dream,
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Take the policy's mode instead of sampling it.")
]


def progress_for(piped: bool) -> AbstractContextManager[Progress]:
    """The console's progress, or none where standard output is for a pipe."""
    from dreamenv.progress import console, silent

    return nullcontext(silent) if piped else console()


def print_json(document: Any) -> None:
    """Write a JSON document to standard output, for pipes."""
    import json

    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")


def interval(mean: float, low: float, high: float) -> str:
    """A mean with its interval, in as many digits as tell something.

    >>> interval(612.34, 580.1, 640.0)
    '612 [580, 640]'
    """
    digits = 0 if max(abs(low), abs(high)) >= 100 else 2
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
