r"""Write the table of doubts of ``exploitation.md``.

python benchmarks/mdnrnn_trust.py --real policy=DATA/policy --real random=DATA/random \
    --policy POLICY.zip --out docs/figures/mdnrnn_trust.json
python docs/doubts_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marked import put, row

from dreamenv.cli.door import interval

DOCS = Path(__file__).parent
PAGE = DOCS / "exploitation.md"
BEYOND = "given the model's own deviation"
DREAMT = "in blocks paid more than any real one"


def doubts_table(measured: dict[str, Any]) -> str:
    """A row a doubt: its ranks with the errors it is about, and what it is where the dream pays."""
    ranks = measured["rank correlation with the model's errors"]["all"]
    dreams = measured["in the policy's dreams"]
    lines = [
        row(["doubt", "rank correlation with error", "beyond the predicted deviation",
             "mean, real track", "mean, dreams paid more than any real one"]),
        row(["---"] * 5),
    ]  # fmt: skip
    for name in ranks:
        of = name.split(",")[0]  # the error that it is about
        if of == "both" or name == "reward, predicted":
            continue
        found, told = ranks[name][of], dreams.get(name)
        beyond = found.get(BEYOND)
        seen = ["", ""] if told is None else [f"{told[on]:.2f}" for on in ("real", DREAMT)]
        lines.append(
            row([name, _interval(found), "" if beyond is None else _interval(beyond), *seen])
        )
    count = sum(measured["episodes"].values())
    decisions = sum(measured["decisions"].values())
    lines += [
        "",
        f"`{measured['dream']}`, {count} real episodes, {decisions:,} decisions. Means are of the "
        "policy's episodes, in units of the 95th percentile over real decisions.",
    ]
    return "\n".join(lines) + "\n"


def _interval(found: dict[str, float]) -> str:
    return interval(found["value"], found["low"], found["high"])


if __name__ == "__main__":
    text = (DOCS / "figures" / "mdnrnn_trust.json").read_text(encoding="utf-8")
    put(PAGE, "doubts", doubts_table(json.loads(text)))
