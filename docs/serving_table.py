"""Write the tables of docs/serving.md: what lanes cost in memory, and how fast a server is.

python benchmarks/lane_memory.py --out docs/figures/lane_memory.json
python benchmarks/serving.py --out docs/figures/serving.json
python docs/serving_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marked import put, row

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "serving.md"
MEMORY = ROOT / "docs" / "figures" / "lane_memory.json"
SPEED = ROOT / "docs" / "figures" / "serving.json"
RATE = "steps per second"
BATCHES = "batches by lanes at most"


def memory_table(measured: dict[str, Any]) -> str:
    """Markdown: a row for each dream and kind of observation."""
    head = ["dream", "observation", "a lane, kB", "1,024 lanes, MB", "without lanes, MB"]
    rows = [
        [
            f"`{found['dream']}`",
            found["observation"],
            f"{found['bytes a lane'] / 1e3:.0f}",
            f"{found['bytes a lane'] * 1024 / 1e6:.0f}",
            f"{found['bytes without lanes'] / 1e6:.0f}",
        ]
        for found in measured["rows"]
    ]
    few, many = measured["lanes"]
    note = (
        f"Growth of a process's peak from {few} to {many:,} lanes that all step as one batch, on a "
        "CPU,\nby `benchmarks/lane_memory.py`. Each kind of observation in use has its own lanes."
    )
    return _table(head, rows) + f"\n{note}\n"


def speed_table(measured: dict[str, Any]) -> str:
    """Markdown: what was timed, a row each, and the ratios between them."""
    head = ["case", "", "steps/s", "p50, µs", "p99, µs", "client CPU", "server CPU"]
    rows, ratios, sizes = [], [], []
    for case, figures in measured.items():
        if not isinstance(figures, dict):
            continue
        timed = {
            name: found
            for name, found in figures.items()
            if isinstance(found, dict) and RATE in found
        }
        for number, (name, found) in enumerate(timed.items()):
            rows.append(
                [
                    "" if number else case,
                    name,
                    f"{found[RATE]:,}",
                    f"{found['p50 microseconds']:,.0f}",
                    f"{found['p99 microseconds']:,.0f}",
                    f"{found['client cpu']:.2f}",
                    f"{found['server cpu']:.2f}" if "server cpu" in found else "",
                ]
            )
            if BATCHES in found:
                shares = ", ".join(f"{size}: {s:.0%}" for size, s in found[BATCHES].items())
                sizes.append(f"- {case}: {shares}")
        ratios += [
            [case, name, f"{found['median']:.2f}", f"{found['least']:.2f}–{found['most']:.2f}"]
            for name, found in figures.items()
            if isinstance(found, dict) and "median" in found
        ]
    about = (
        f"`{measured['dream']}` on {measured['cores']} cores, {measured['rounds']} rounds of "
        f"{measured['seconds of a block']} s each, by `benchmarks/serving.py`; servers and callers "
        f"share the cores. {measured['fingerprint']}."
    )
    parts = [
        _table(["case", "ratio", "median", "of the rounds"], ratios),
        _table(head, rows),
        "Batches that the worker stepped, by their lanes at most:\n\n" + "\n".join(sizes) + "\n",
        about + "\n",
    ]
    return "\n".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(map(row, [head, ["---"] * len(head), *rows])) + "\n"


def main() -> None:
    """Rewrite the parts of the page between the marks, as far as they were measured."""
    for mark, table, path in (
        ("lane-memory-table", memory_table, MEMORY),
        ("serving-table", speed_table, SPEED),
    ):
        if path.exists():
            put(PAGE, mark, table(json.loads(path.read_text(encoding="utf-8"))))
        else:
            print(f"left as it is: {mark}, since there is no {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
