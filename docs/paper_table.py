r"""Set the sweeps of temperature beside the paper's table, in ``take_cover.md`` and a figure.

dreamenv audit Dream-DoomTakeCover-v0 --sweep temperature=0.1,0.5,1.0,1.15,1.3 \
    --termination sample --out SAMPLE
dreamenv audit Dream-DoomTakeCover-v0 --sweep temperature=0.1,0.5,1.0,1.15,1.3 \
    --termination threshold --out THRESHOLD
python docs/paper_table.py SAMPLE THRESHOLD
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dreamenv.audit.plots import DREAM, REAL, STILL

HERE = Path(__file__).parent
PAGE = HERE / "take_cover.md"
PAPER = {
    0.1: ((2086, 140), (193, 58)),
    0.5: ((2060, 277), (196, 50)),
    1.0: ((1145, 690), (868, 511)),
    1.15: ((918, 546), (1092, 556)),
    1.3: ((732, 269), (753, 139)),
}
"""Temperature: dream and real survival, mean and standard deviation (Ha & Schmidhuber 2018, table
2)."""
PAPERS_RANDOM = (210, 108)
MARKED = re.compile(r"(?<=<!-- paper-table -->\n).*?(?=<!-- /paper-table -->)", re.DOTALL)


def table(sweeps: list[dict[str, Any]]) -> str:
    """Markdown: a row a temperature; the paper's scores, then each sweep's."""
    names = [sweep["config"]["knobs"]["termination"] for sweep in sweeps]
    head = ["τ", "paper: dream", "real", *(c for n in names for c in (f"{n}: dream", "real", ""))]
    lines = [_row(head), _row(["---"] * len(head))]
    for value, (dream, real) in PAPER.items():
        cells = [f"{value:g}", "{} ± {}".format(*dream), "{} ± {}".format(*real)]
        for sweep in sweeps:
            point = next(p for p in sweep["points"] if p["value"] == value)
            cells += [_cell(point, "dream"), _cell(point, "real"), point["word"]]
        lines.append(_row(cells))
    cells = ["random", "", "{} ± {}".format(*PAPERS_RANDOM)]
    for sweep in sweeps:
        cells += ["", _shown(sweep["random"], sweep["random_std"]), ""]
    lines.append(_row(cells))
    said = [
        f"{name}: {s['config']['seeds']} policies a row, {s['config']['episodes']} episodes each"
        for name, s in zip(names, sweeps, strict=True)
    ]
    return "\n".join(
        [*lines, "", f"Mean [95% interval] ± standard deviation. {'; '.join(said)}.\n"]
    )


def draw(sweeps: list[dict[str, Any]]) -> Figure:
    """A panel each for the paper and the sweeps: dream and real survival against temperature."""
    figure = Figure(figsize=(4.0 * (len(sweeps) + 1), 4.0), layout="constrained")
    panels = figure.subplots(1, len(sweeps) + 1, sharey=True)
    paper = panels[0]
    for i, (name, colour) in enumerate((("dream", DREAM), ("real", REAL))):
        means = [scores[i][0] for scores in PAPER.values()]
        paper.plot(range(len(PAPER)), means, "o-", color=colour, label=name)
    paper.axhline(PAPERS_RANDOM[0], color=STILL, linestyle=":", label="random actions, real")
    paper.set(title="the paper", ylabel="steps survived")
    paper.legend()
    for panel, sweep in zip(panels[1:], sweeps, strict=True):
        points = {p["value"]: p for p in sweep["points"]}
        for name, colour in (("dream", DREAM), ("real", REAL)):
            found = [points[value][name] for value in PAPER]
            means = [f["value"] for f in found]
            low = [f["value"] - f["low"] for f in found]
            high = [f["high"] - f["value"] for f in found]
            panel.errorbar(range(len(PAPER)), means, [low, high], fmt="o-", capsize=3, color=colour)
        panel.axhline(sweep["random"]["value"], color=STILL, linestyle=":")
        panel.set_title(f"here, termination: {sweep['config']['knobs']['termination']}")
    for panel in panels:
        panel.set_xticks(range(len(PAPER)), [f"{value:g}" for value in PAPER])
        panel.set_xlabel("temperature τ")
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(point: dict[str, Any], side: str) -> str:
    return _shown(point[side], point[f"{side}_std"])


def _shown(found: dict[str, float], std: float) -> str:
    return f"{found['value']:.0f} [{found['low']:.0f}, {found['high']:.0f}] ± {std:.0f}"


def main() -> None:
    """Rewrite the page's table and the figure from the folders of the sweeps."""
    sweeps = [json.loads((Path(folder) / "sweep.json").read_text()) for folder in sys.argv[1:]]
    for sweep in sweeps:
        name = f"sweep_{sweep['config']['knobs']['termination']}.json"
        (HERE / "figures" / name).write_text(json.dumps(sweep, indent=1) + "\n")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKED.sub(lambda _: table(sweeps), page), encoding="utf-8")
    draw(sweeps).savefig(HERE / "figures" / "sweep.png", dpi=110)


if __name__ == "__main__":
    main()
