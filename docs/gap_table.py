r"""Write the README's and the cards' tables of the gap, as measured, and what audits said.

python benchmarks/transfer.py --dream Dream-CarRacing-v0 --work WORK \
    --out docs/figures/transfer_car_racing.json
dreamenv audit Dream-CarRacing-v0 --policy WORK/0/policy.zip --out AUDIT
python docs/gap_table.py AUDIT …
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from marked import put, row

from dreamenv.card import card
from dreamenv.cli.door import interval
from dreamenv.packages import load_config
from dreamenv.sources import ZOO

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
MEASURED = sorted(FIGURES.glob("transfer_*.json"))
AUDITS = FIGURES / "audits.json"
README = ROOT / "README.md"
HEADING = """## The gap

Policies trained from scratch by `dreamenv learn` with its defaults, {acting}."""
ACTING = {"sampled": "acting sampled", "mode": "acting by their modes"}


def gap_table(measured: dict[str, Any]) -> str:
    """Markdown: a row a seed, their median, random actions, and what it was measured by."""
    seeds = measured["seeds"]
    rows = [row([f"seed {s['seed']}", _shown(s["dream"]), _shown(s["real"])]) for s in seeds]
    dream, real = measured["median_of_dream_means"], measured["median_of_real_means"]
    episodes = len(seeds[0]["real"]["returns"])
    behind = f"{measured['real_steps_behind_the_package']:,}"
    lines = [
        row([f"trained only in `{measured['dream']}`", "in the dream", "in the real env"]),
        row(["---"] * 3),
        *rows,
        row(["**median of the seeds**", f"**{dream:.0f}**", f"**{real:.0f}**"]),
        f"| random actions | | {_shown(measured['random'])} |",
        "",
        f"{episodes} episodes a cell, by `benchmarks/transfer.py`. Real frames behind the package: "
        f"{behind}; added by these policies: {measured['real_steps_added_by_learning']}.",
    ]
    return "\n".join(lines) + "\n"


def summary(everything: list[dict[str, Any]]) -> str:
    """Markdown: a row a dream, medians over the learners with each one's mean."""
    heads = ["trained only in", "in the dream", "in the real env", "random actions", "real frames"]
    lines = [row(heads), row(["---"] * len(heads))]
    for measured in everything:
        cells = [f"`{measured['dream']}`"]
        for on in ("dream", "real"):
            means = ", ".join(f"{seed[on]['mean']:.0f}" for seed in measured["seeds"])
            cells.append(f"**{measured[f'median_of_{on}_means']:.0f}** ({means})")
        random, behind = measured["random"]["mean"], measured["real_steps_behind_the_package"]
        lines.append(row([*cells, f"{random:.0f}", f"{behind:,}"]))
    return "\n".join(lines) + "\n"


def audit_said(found: dict[str, Any]) -> str:
    """Markdown: a card's section of its audit, with each check that failed."""
    lines = [
        "## The audit",
        "",
        f"`dreamenv audit`, {found['episodes']} real episodes of one of these policies: "
        f"{found['verdict']['sentence']} Of {found['checks']} checks, {len(found['failed'])} failed"
        f"{':' if found['failed'] else '.'}",
    ]
    failed = [f"- {check['name']}: {check['measured']}" for check in found["failed"]]
    return "\n".join([*lines, *([""] if failed else []), *failed]) + "\n"


def _shown(scores: dict[str, Any]) -> str:
    return interval(scores["mean"], scores["low"], scores["high"])


def _audits(folders: list[str]) -> dict[str, Any]:
    """What is kept of all audits, these among them."""
    kept = json.loads(AUDITS.read_text(encoding="utf-8")) if AUDITS.exists() else {}
    for folder in folders:
        audit = json.loads((Path(folder) / "audit.json").read_text(encoding="utf-8"))
        kept[audit["dream"]] = {
            "verdict": audit["verdict"],
            "checks": len(audit["checks"]),
            "failed": [
                {"name": check["name"], "measured": check["measured"]}
                for check in audit["checks"]
                if check["passed"] is False
            ],
            "episodes": audit["settings"]["episodes"],
            "deterministic": audit["settings"]["deterministic"],
            "real_steps": audit["real_steps"],
            "identity": audit["identity"],
        }
    AUDITS.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")
    return kept


def main() -> None:
    """Rewrite the part of the README between the two marks, and the shipped packages' cards."""
    everything = [json.loads(path.read_text(encoding="utf-8")) for path in MEASURED]
    audits = _audits(sys.argv[1:])
    for measured in everything:
        folder = ZOO / measured["dream"]
        heading = HEADING.format(acting=ACTING[measured["policies"]])
        parts = [card(load_config(folder)), f"{heading}\n\n{gap_table(measured)}"]
        if measured["dream"] in audits:
            parts.append(audit_said(audits[measured["dream"]]))
        (folder / "README.md").write_text("\n".join(parts), encoding="utf-8")
    put(README, "gap-table", summary(everything))


if __name__ == "__main__":
    main()
