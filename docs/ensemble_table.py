"""Write the tables of ``ensembles.md``: what three benchmarks measured.

python benchmarks/ensemble_error.py --work WORK --out docs/figures/ensemble_error.json
python benchmarks/learned_endings.py --work WORK --out docs/figures/learned_endings.json
python benchmarks/healthy_range.py --work WORK --out docs/figures/healthy_range.json
python docs/ensemble_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marked import put, row

HERE = Path(__file__).parent
K = (1, 5, 20, 50, 100)
RATES = (0.5, 0.9)


def error_table(measured: dict[str, Any]) -> str:
    """Markdown: a row an env, set and predictor, a column a k."""
    lines = [row(["env", "held-out episodes", "predictor", *(f"k = {k}" for k in K)])]
    lines.append(row(["---"] * (3 + len(K))))
    for env, of, found in _sets(measured):
        for predictor, error in found["squared error"].items():
            cells = ["" if error["value"][k - 1] is None else _root(error, k - 1) for k in K]
            lines.append(row([env, of, predictor, *cells]))
    return "\n".join([*lines, "", _by(measured, "ensemble_error")]) + "\n"


def coverage_table(measured: dict[str, Any]) -> str:
    """Markdown: a row an env, set and propagation, columns of k and rate."""
    lines, columns = [], [(k, rate) for k in K[:-1] for rate in RATES]
    heads = [f"k = {k}: {rate:.0%}" for k, rate in columns]
    lines.append(row(["env", "held-out episodes", "", *heads]))
    lines.append(row(["---"] * (3 + len(columns))))
    for env, of, found in _sets(measured):
        for predictor, by_k in found["coverage"].items():
            cells = []
            for k, rate in columns:
                share = by_k[str(k)]["together"]["value"][measured["rates"].index(rate)]
                cells.append("" if share is None else f"{share:.0%}")
            lines.append(row([env, of, predictor.split(", ")[1], *cells]))
    return "\n".join([*lines, "", _by(measured, "ensemble_error")]) + "\n"


def ranges_table(measured: dict[str, Any]) -> str:
    """Markdown: a row an env, who says where its episodes end, and how well."""
    heads = ["env", "endings", "healthy range", "precision", "recall"]
    heads += ["networks: precision", "recall"]
    lines = [row(heads), row(["---"] * len(heads))]
    for env, found in measured["envs"].items():
        default, networks = found["default"], found["networks"]
        sides = ", ".join(
            f"`[{s['number']}]` {'<' if s['sign'] > 0 else '>'} {s['bound']:.4g}"
            for s in found["range"]
        )
        own = [_share(default[n]) if sides else "" for n in ("precision", "recall")]
        other = [_share(networks[n]) for n in ("precision", "recall")]
        counts = f"{default['endings']:,} of {default['decisions']:,}"
        lines.append(row([env, counts, sides or "none taken", *own, *other]))
    told = f"{measured['fitted']} episodes fitted, {measured['unseen']} judged."
    return "\n".join([*lines, "", f"{told} By `benchmarks/healthy_range.py`."]) + "\n"


def endings_table(measured: dict[str, Any]) -> str:
    """Markdown: a row an env, place and way to end."""
    lines = [row(["env", "where", "termination", "endings", "precision", "recall"])]
    lines.append(row(["---"] * 6))
    for env, found in measured["envs"].items():
        for of in found["rows"]:
            where = of["where"] + (", within 5%" if of["near"] else "")
            shares = [_share(of[name]) for name in ("precision", "recall")]
            counts = f"{of['endings']:,} of {of['decisions']:,}"
            lines.append(row([env, where, of["termination"], counts, *shares]))
    late = [_late(env, found["late"], found.get("cut")) for env, found in measured["envs"].items()]
    return "\n".join([*lines, "", *late, "", _by(measured, "learned_endings")]) + "\n"


def _late(env: str, late: dict[str, list[int]], cut: dict[str, int] | None) -> str:
    """What became of the endings that dreams missed; figures from before cut ones were counted
    apart have them among those not within so many."""
    after = [sum(counts) for counts in zip(*late.values(), strict=True)]
    horizon = 0 if cut is None else sum(cut.values())
    apart = "" if cut is None else f", {horizon:,} cut by the horizon before that"
    return (
        f"{env}: of {sum(after) + horizon:,} endings that dreams missed, {after[1]:,} came a "
        f"decision later, {sum(after[2:-1]):,} after more, {after[-1]:,} not within "
        f"{len(after) - 2}{apart}.\\"
    )


def _sets(measured: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (env, of, found)
        for env, behind in measured["envs"].items()
        for of, found in behind["sets"].items()
    ]


def _root(error: dict[str, Any], at: int) -> str:
    value, low, high = (error[name][at] ** 0.5 for name in ("value", "low", "high"))
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _share(found: dict[str, float | None]) -> str:
    shares = [f"{share:.2f}" for share in found.values() if share is not None]
    return "{} [{}, {}]".format(*shares) if shares else ""


def _by(measured: dict[str, Any], name: str) -> str:
    """Whose figures these are, and whether they are a look only."""
    return f"By `benchmarks/{name}.py{' --quick' if measured['quick'] else ''}`."


def main() -> None:
    """Rewrite the page's tables."""
    for name, parts in {
        "ensemble_error": {"errors": error_table, "coverage": coverage_table},
        "healthy_range": {"ranges": ranges_table},
        "learned_endings": {"endings": endings_table},
    }.items():
        measured = json.loads((HERE / "figures" / f"{name}.json").read_text(encoding="utf-8"))
        for part, table in parts.items():
            put(HERE / "ensembles.md", part, table(measured))


if __name__ == "__main__":
    main()
