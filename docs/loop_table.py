r"""Write the table of ``loop.md``: real steps to a score, by the loop and by a learner alone.

python benchmarks/real_steps.py --work WORK
python docs/loop_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marked import put, row

DOCS = Path(__file__).parent
PAGE = DOCS / "loop.md"


def steps_table(everything: list[dict[str, Any]]) -> str:
    """A row an env: median and range of both, and how many times fewer the loop takes."""
    heads = ["env", "score", "asked within", "loop", "model-free alone", "ratio of medians"]
    lines = [row(heads), row(["---"] * len(heads))]
    for found in everything:
        loop, control = found["loop_steps"], found["control_steps"]
        ratio = "" if None in (loop[0], control[0]) else f"{control[0] / loop[0]:.1f}"
        alone = f"{_steps(control)} ({found['algo'].upper()})"
        lines.append(
            row(
                [
                    found["env"],
                    f"≥ {found['target']:g}",
                    f"{found['within']:,}",
                    _steps(loop),
                    alone,
                    ratio,
                ]
            )
        )
    seeds = len(everything[0]["loop"])
    return "\n".join(
        [*lines, "", f"{seeds} seeds: median [least, most]. By `benchmarks/real_steps.py`.\n"]
    )


def _steps(found: list[float | None]) -> str:
    middle, low, high = ("never" if x is None else f"{x:,.0f}" for x in found)
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    text = (DOCS / "figures" / "real_steps.json").read_text(encoding="utf-8")
    put(PAGE, "steps", steps_table(json.loads(text)))
