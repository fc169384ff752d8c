"""The parts of our pages that are made of measurements, between two marks."""

from __future__ import annotations

import re
from pathlib import Path


def marked(text: str, name: str) -> str:
    """What stands between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: the marks are not there, each once.
    """
    found = _pattern(name).findall(text)
    if len(found) != 1:
        raise ValueError(f"expected <!-- {name} --> … <!-- /{name} --> once, found {len(found)}")
    part: str = found[0]
    return part


def put(page: Path, name: str, part: str) -> None:
    """Write a page anew with ``part`` between its marks.

    Raises:
        ValueError: see :func:`marked`.
    """
    text = page.read_text(encoding="utf-8")
    marked(text, name)
    page.write_text(_pattern(name).sub(lambda _: part, text), encoding="utf-8")


def row(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
