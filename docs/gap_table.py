"""Write the README's and the cards' tables of the gap: what ``benchmarks/transfer.py`` measured.

python benchmarks/transfer.py --dream Dream-CarRacing-v0 --out docs/figures/transfer_car_racing.json
python docs/gap_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marked import put

from dreamenv.card import card
from dreamenv.cli.door import interval
from dreamenv.packages import load_config
from dreamenv.sources import ZOO

ROOT = Path(__file__).parents[1]
MEASURED = sorted((ROOT / "docs" / "figures").glob("transfer_*.json"))
README = ROOT / "README.md"
HEADING = """## The gap

Policies trained from scratch by `dreamenv learn` with its defaults, acting sampled."""


def gap_table(measured: dict[str, Any]) -> str:
    """Markdown: a row a seed, their median, random actions, and what it was measured by."""

    def shown(scores: dict[str, Any]) -> str:
        return interval(scores["mean"], scores["low"], scores["high"])

    seeds = measured["seeds"]
    rows = [
        f"| seed {row['seed']} | {shown(row['dream'])} | {shown(row['real'])} |" for row in seeds
    ]
    dream, real = measured["median_of_dream_means"], measured["median_of_real_means"]
    episodes = len(seeds[0]["real"]["returns"])
    behind = f"{measured['real_steps_behind_the_package']:,}"
    lines = [
        f"| trained only in `{measured['dream']}` | in the dream | in the real env |",
        "| --- | --- | --- |",
        *rows,
        f"| **median of the seeds** | **{dream:.0f}** | **{real:.0f}** |",
        f"| random actions | | {shown(measured['random'])} |",
        "",
        f"{episodes} episodes a cell, by `benchmarks/transfer.py`. Real frames behind the package: "
        f"{behind}; added by these policies: {measured['real_steps_added_by_learning']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite the part of the README between the two marks, and the shipped packages' cards."""
    tables = []
    for path in MEASURED:
        measured = json.loads(path.read_text(encoding="utf-8"))
        tables.append(gap_table(measured))
        folder = ZOO / measured["dream"]
        text = f"{card(load_config(folder))}\n{HEADING}\n\n{tables[-1]}"
        (folder / "README.md").write_text(text, encoding="utf-8")
    put(README, "gap-table", "\n".join(tables))


if __name__ == "__main__":
    main()
