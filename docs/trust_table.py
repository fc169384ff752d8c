r"""Write the tables of ``trust.md``: what was measured of trust, and of what it costs.

python benchmarks/trust.py --seeds 5 --penalties 0.3 --limits 2 --work runs/trust \
    --out docs/figures/trust.json
python benchmarks/trust.py --penalties 0.3 --limits 2 --networks --work runs/networks \
    --out docs/figures/trust_networks.json
python benchmarks/trust.py --behaviour-episodes 60 --timesteps 20000 --tuning-seeds 1 \
    --penalties 0.3 1 --limits 0.99 --work runs/narrow --out docs/figures/trust_narrow.json
python benchmarks/ensemble_speed.py --peer-python PEER/bin/python --rounds 7 --seconds 0.25 \
    --out docs/figures/ensemble_speed.json
python benchmarks/ensemble_speed.py --device cuda --eager --threads 1 --seconds 0.2 \
    --out docs/figures/ensemble_speed_cuda.json
python docs/trust_table.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from marked import put, row

from dreamenv.cli.door import interval

DOCS = Path(__file__).parent
PAGE = DOCS / "trust.md"
CASES = {
    "step, not telling": "`Ensemble.step`, each lane its own member",
    "looped, not telling": "… looped, each member all lanes",
    "looped over own lanes": "… looped, each member its own lanes",
    "step, telling": "`Ensemble.step`, telling how unsure it is",
    "looped, telling": "… looped",
    "step, telling, compiled": "… compiled",
    "looped, telling, compiled": "… looped, compiled",
    "Dream, not telling": "`Dream.step`, `uncertainty=False`",
    "Dream, not telling, looped": "… its model looped",
    "Dream, telling": "`Dream.step`",
    "Dream, telling, looped": "… its model looped",
    "Dream, telling, compiled": "… `compile=True`",
    "mbrl-lib, TS1": "mbrl-lib's `ModelEnv.step`, TS1: each lane one member",
    "mbrl-lib, mean": "mbrl-lib's `ModelEnv.step`, mean: all elites",
}
"""Names in ``ensemble_speed.json``, and on the page."""


def transfer_table(measured: dict[str, Any]) -> str:
    """A row a variant: each learner's score in its dream and on the real env."""
    lines = [
        row(["learnt with", "in the dream", "on the real env", "median"]),
        row(["---"] * 4),
    ]
    for name, learners in measured["variants"].items():
        scores = {
            on: ", ".join(f"{learner[on]['mean']:.0f}" for learner in learners)
            for on in ("dream", "real")
        }
        medians = [
            f"{statistics.median(learner[on]['mean'] for learner in learners):.0f}"
            for on in ("dream", "real")
        ]
        shown = name if name == "no trust" else f"`{name}`"
        lines.append(row([shown, scores["dream"], scores["real"], " → ".join(medians)]))
    random = measured["random"]
    shown = interval(random["mean"], random["low"], random["high"])
    lines += [
        row(["random actions, the behaviour policy", "", shown, ""]),
        "",
        f"`{measured['env']}`, {measured['real_steps']:,} real steps of random actions; "
        f"{measured['timesteps']:,} decisions of SAC in the dream, a learner a figure; "
        f"{measured['episodes']} episodes a cell, the policies' modes.",
    ]
    return "\n".join(lines) + "\n"


def ranks_table(measured: dict[str, Any]) -> str:
    """A row a kind of data: how wrong, how unsure, and how the two rank."""
    lines = [
        row(
            [
                "real decisions of",
                "error, median (95%)",
                "`uncertainty`, median (95%)",
                "predicted noise, median (95%)",
                "rank correlation of disagreement",
                "of predicted noise",
            ]
        ),
        row(["---"] * 6),
    ]
    for name, found in measured["ranks"].items():
        kinds = [
            interval(k["value"], k["low"], k["high"])
            for k in (found["spearman"]["epistemic"], found["spearman"]["aleatoric"])
        ]
        spread = ["{:.2g} ({:.2g})".format(*found[n]) for n in ("error", "uncertainty", "noise")]
        lines.append(row([name, *spread, *kinds]))
    return "\n".join(lines) + "\n"


def speed_table(measured: dict[str, Any]) -> str:
    """A row a case, milliseconds a call; a column a width and a number of threads."""
    found = measured["cases"]
    heads = [f"{c['hidden']} wide, {c['threads']} thread{'s'[: c['threads'] - 1]}" for c in found]
    lines = [
        row([f"ms a step of {measured['lanes']:,} lanes", *heads]),
        row(["---"] * (1 + len(found))),
    ]
    for name, shown in CASES.items():
        if any(name in c["milliseconds"] for c in found):
            times = [f"{c['milliseconds'][name]:.1f}" for c in found]
            lines.append(row([shown, *times]))
    lines += ["", row(["times as fast, median [least, most]", *heads])]
    lines.append(row(["---"] * (1 + len(found))))
    for name in found[0]["times as fast"]:
        ratios = ["{:.1f} [{:.1f}, {:.1f}]".format(*c["times as fast"][name]) for c in found]
        lines.append(row([name, *ratios]))
    versions = found[0]["versions"]
    peer = f"; mbrl {versions['peer']['mbrl']}" if "peer" in versions else ""
    load = max(c["load"] for c in found)
    device = measured.get("device", "cpu")
    where = "" if device == "cpu" else f"one {device}; "
    lines += [
        "",
        f"{measured['rounds']} rounds; torch {versions['torch']}{peer}; {where}a load of up to "
        f"{load:g} on {measured['cores']} cores.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite the parts of the page between their marks."""
    trust, networks, narrow, speed, cuda = (
        json.loads((DOCS / "figures" / f"{name}.json").read_text(encoding="utf-8"))
        for name in (
            "trust",
            "trust_networks",
            "trust_narrow",
            "ensemble_speed",
            "ensemble_speed_cuda",
        )
    )
    put(PAGE, "transfer", transfer_table(trust))
    put(PAGE, "networks", transfer_table(networks))
    put(PAGE, "narrow", transfer_table(narrow))
    put(PAGE, "ranks", ranks_table(trust))
    put(PAGE, "speed", speed_table(speed))
    put(PAGE, "gpu", speed_table(cuda))


if __name__ == "__main__":
    main()
