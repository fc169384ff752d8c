r"""Set the sweeps of temperature beside the paper's table, in ``take_cover.md`` and a figure.

dreamenv audit Dream-DoomTakeCover-v0 --sweep temperature=0.1,0.5,1.0,1.15,1.3 \
    --termination sample --out SAMPLE
dreamenv audit Dream-DoomTakeCover-v0 --sweep temperature=0.1,0.5,1.0,1.15,1.3 \
    --termination threshold --out THRESHOLD
dreamenv audit UNTRAINED --sweep temperature=1.0 --termination sample --out CONTROL
dreamenv audit Dream-DoomTakeCover-v0 --sweep temperature=0.75:1.3 \
    --termination sample --out RANGE
dreamenv audit Dream-DoomTakeCover-v0 --sweep termination_temperature=0.8,1.25 \
    --termination sample --out ENDINGS
python docs/paper_table.py SAMPLE THRESHOLD --others RANGE ENDINGS --control CONTROL

A control is a sweep of the same model untrained. Its rows, and those of others, which the paper has
no counterpart of, stand in the columns of their termination.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marked import put, row
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


def table(
    sweeps: list[dict[str, Any]],
    control: dict[str, Any] | None = None,
    others: Sequence[dict[str, Any]] = (),
) -> str:
    """Markdown: a row a temperature; the paper's scores, then each sweep's; then the points of
    others, and the controls."""
    names = [sweep["config"]["knobs"]["termination"] for sweep in sweeps]
    head = ["τ", "paper: dream", "real", *(c for n in names for c in (f"{n}: dream", "real", ""))]
    lines = [row(head), row(["---"] * len(head))]
    for value, (dream, real) in PAPER.items():
        cells = [f"{value:g}", "{} ± {}".format(*dream), "{} ± {}".format(*real)]
        for sweep in sweeps:
            cells += _cells(next(p for p in sweep["points"] if p["value"] == value))
        lines.append(row(cells))
    named = [(ours["config"]["knob"].replace("_", " "), ours) for ours in others]
    if control is not None:
        named.append(("untrained,", control))
    for name, ours in named:
        for point in ours["points"]:
            ends = point["value"] if isinstance(point["value"], list) else [point["value"]]
            cells = [f"{name} {' to '.join(f'{end:g}' for end in ends)}", "", ""]
            for termination in names:
                same = ours["config"]["knobs"]["termination"] == termination
                cells += _cells(point) if same else [""] * 3
            lines.append(row(cells))
    cells = ["random", "", "{} ± {}".format(*PAPERS_RANDOM)]
    for sweep in sweeps:
        cells += ["", _shown(sweep["random"], sweep["random_std"]), ""]
    lines.append(row(cells))
    said = []
    for name, sweep in zip(names, sweeps, strict=True):
        seeds, episodes = sweep["config"]["seeds"], sweep["config"]["episodes"]
        policies = "policy" if seeds == 1 else "policies"
        said.append(f"{name}: {seeds} {policies} a row, {episodes} episodes each")
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


def _cells(point: dict[str, Any]) -> list[str]:
    sides = [_shown(point[side], point[f"{side}_std"]) for side in ("dream", "real")]
    return [*sides, point["word"]]


def _shown(found: dict[str, float], std: float) -> str:
    return f"{found['value']:.0f} [{found['low']:.0f}, {found['high']:.0f}] ± {std:.0f}"


def kept(name: str) -> Path:
    """Where a sweep's figures are kept."""
    return HERE / "figures" / f"sweep_{name}.json"


def main() -> None:
    """Rewrite the page's table and the figure from the folders of the sweeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--others", nargs="*", type=Path, default=[])
    parser.add_argument("--control", type=Path)
    given = parser.parse_args()
    sweeps, others = (
        [json.loads((folder / "sweep.json").read_text()) for folder in folders]
        for folders in (given.sweeps, given.others)
    )
    named = {sweep["config"]["knobs"]["termination"]: sweep for sweep in sweeps}
    control = None
    if given.control:
        control = named["untrained"] = json.loads((given.control / "sweep.json").read_text())
    for name, sweep in [*named.items(), ("others", others)]:
        kept(name).write_text(json.dumps(sweep, indent=1) + "\n")
    put(PAGE, "paper-table", table(sweeps, control, others))
    draw(sweeps).savefig(HERE / "figures" / "sweep.png", dpi=110)


if __name__ == "__main__":
    main()
