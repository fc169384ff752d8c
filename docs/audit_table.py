r"""Write the table of audits in ``take_cover.md``.

dreamenv audit Dream-DoomTakeCover-v0 --policy POLICY.zip --episodes 100 --out AUDIT
python docs/audit_table.py "its policy=AUDIT" "learnt at τ = 0.1=OTHER" …
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from marked import put, row

HERE = Path(__file__).parent
PAGE = HERE / "take_cover.md"
KEPT = HERE / "figures" / "audits_take_cover.json"


def extract(audit: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of an ``audit.json``."""
    findings = audit["findings"]
    parting, within = findings["parting"], findings["within"]
    return {
        "verdict": audit["verdict"],
        "episodes": audit["settings"]["episodes"],
        "steps": within["steps"],
        "moments": within["moments"],
        "lives": {
            who: {side: findings[who]["lengths"][side]["mean"] for side in ("dream", "real")}
            for who in ("policy", "random")
        },
        "ended": {side: parting[f"ended_{side}"] for side in ("dream", "real")},
        "unusual": parting["unusual"],
        "foretold": {
            name: (within["calibration"] or {}).get(name) for name in ("ece", "auroc", "skill")
        },
    }


def table(audits: dict[str, dict[str, Any]]) -> str:
    """Markdown: a column an audited policy."""
    found = list(audits.values())
    lines = [row(["", *audits]), row(["---"] * (1 + len(found)))]
    for who, name in (("policy", "lives"), ("random", "random actions live")):
        for side in ("dream", "real"):
            cells = [_shown(one["lives"][who][side], ".0f") for one in found]
            lines.append(row([f"{name}, {side}", *cells]))
    for side in ("dream", "real"):
        cells = [f"{one['ended'][side]:.2f}" for one in found]
        lines.append(row([f"ends in 1,000 decisions, {side}", *cells]))
    cells = ["" if one["unusual"] is None else f"{one['unusual']:.1%}" for one in found]
    lines.append(row(["unusual latents (1% of real ones)", *cells]))
    for of, name in (("ece", "ECE"), ("auroc", "AUROC"), ("skill", "Brier skill")):
        lines.append(row([f"foretold: {name}", *(_shown(one["foretold"][of]) for one in found)]))
    lines.append(row(["verdict", *(one["verdict"]["word"] for one in found)]))
    measured = sorted({(one["episodes"], one["steps"]) for one in found})
    said = "; ".join(f"{n} real episodes, endings foretold {k} ahead" for n, k in measured)
    return "\n".join([*lines, "", f"Mean [95% interval, by whole episodes]. {said}.\n"])


def _shown(found: dict[str, float] | None, form: str = ".3f") -> str:
    if found is None or found["value"] is None:
        return "too few"
    value, low, high = (format(found[name], form) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def main() -> None:
    """Rewrite the page's table from the folders of audits, in the order given."""
    named = [given.rsplit("=", 1) for given in sys.argv[1:]]
    audits = {
        name: extract(json.loads((Path(folder) / "audit.json").read_text()))
        for name, folder in named
    }
    KEPT.write_text(json.dumps(audits, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    put(PAGE, "audit-table", table(audits))


if __name__ == "__main__":
    main()
