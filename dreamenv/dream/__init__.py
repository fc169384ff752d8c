"""Dreams: episodes of a world model, a batch of lanes at a time.

:class:`Dream` brings in torch when it is first named; :mod:`dreamenv.dream.knobs` never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamenv.dream.dream import Dream

__all__ = ["Dream"]


def __getattr__(name: str) -> Any:
    if name == "Dream":
        from dreamenv.dream.dream import Dream

        return Dream
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
