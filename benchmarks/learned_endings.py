r"""Where an ensemble ends episodes, against the real env's own rule.

    python benchmarks/learned_endings.py --work runs/endings \
        --package Dream-Hopper-v0 --policy hopper.zip --package Dream-CartPole-v0 --policy … \
        --out docs/figures/learned_endings.json

Three questions. Does the model end an episode where the real observation says so? Does it, one
dreamed step from a real state, end it where the real env did? And in dreams of a policy and of
random actions, does it end them where the rule would, were what it dreams real? Each of all
decisions, and of those within 5% of the rule's boundary. Without ``--package``, packages are fitted
on random actions. Policies stand in the order of the packages; ``-`` is none. Killed, the same
command goes on with what it made.
"""

from __future__ import annotations

import argparse
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ending_counts import counted, curve, followed
from ending_plots import draw
from ending_rules import MARGINS, ends, near
from ensemble_data import held_out, random_package
from numpy.typing import NDArray

from dreamenv.actor import Actor
from dreamenv.data.rollouts import Rollouts
from dreamenv.dream import Dream
from dreamenv.models.ensemble import Ensemble
from dreamenv.models.world_model import Noise
from dreamenv.packages import Package, load_package
from dreamenv.progress import LogLines, Progress
from dreamenv.sources import resolve
from dreamenv.training.ensemble import judged
from dreamenv.training.transitions import Transitions

EDGES = np.linspace(0.8, 1.2, 41)
LANES = 64
PATIENCE = 20
"""Decisions that a dream is followed beyond an ending that the model missed."""
DRAWS = 10
"""Steps dreamed from each real state."""


def judged_rows(
    package: Package, model: Ensemble, env: str, rollouts: Rollouts, name: str
) -> dict[str, Any]:
    """Rows of real decisions: judged by each elite on what really followed, then on steps dreamed
    from there."""
    data = Transitions.of(rollouts.episodes)
    margin, really = MARGINS[env](data.following.numpy()), data.terminated.numpy() > 0.5
    outcomes, logits = judged(model, data)
    with torch.inference_mode():
        known = torch.sigmoid(logits).double().numpy()
        s = model.normalised(data.observation)
        judges = {"real observation": known, "one dreamed step": stepped(model, s, data.action)}
        if model.healthy is not None:  # what its networks would have said
            networks = torch.sigmoid(outcomes[..., 1]).double().numpy()
            judges["real observation, by networks"] = networks
    rows = []
    for where, probability in judges.items():
        rows += rows_of(
            f"{where}, {name}", really, near(margin), probability, package.config.defaults.threshold
        )
    return {
        "rows": rows,
        "rule against env": int((ends(margin) != really).sum()),
        "curves": {f"real observation, {name}": curve(margin, known.mean(0), EDGES)},
    }


def stepped(model: Ensemble, s: torch.Tensor, action: torch.Tensor) -> NDArray[np.float64]:
    """Probabilities of ending ``[DRAWS, n]`` after one step under TS1."""
    model.propagation, model.tells = "ts1", False
    generator = torch.Generator().manual_seed(0)
    state = {"s": s, "member": torch.zeros(len(s), dtype=torch.int64)}
    logits = [
        model.step(
            state,
            action,
            torch.ones(len(s)),
            Noise(
                torch.rand(len(s), model.noise.uniform, generator=generator),
                torch.randn(len(s), model.noise.normal, generator=generator),
            ),
        ).termination_logit
        for _ in range(DRAWS)
    ]
    found: NDArray[np.float64] = torch.sigmoid(torch.stack(logits)).double().numpy()
    return found


def rows_of(
    where: str,
    really: NDArray[np.bool_],
    close: NDArray[np.bool_],
    probability: NDArray[np.float64],
    threshold: float,
) -> list[dict[str, Any]]:
    """Both ways to end episodes, of all decisions and those near the boundary. ``probability``
    ``[judges, n]`` counts as the mean of its judges, each of which a dream follows as often."""
    said = {"sample": probability.mean(0), "threshold": (probability > threshold).mean(0)}
    return [
        {"where": where, "termination": way, "near": part} | counted(given[chosen], really[chosen])
        for way, given in said.items()
        for part, chosen in ((False, np.ones(len(really), bool)), (True, close))
    ]


def dreamed(
    package: Package, model: Ensemble, env: str, actor: Actor, termination: str, decisions: int
) -> dict[str, NDArray[Any]]:
    """``decisions`` decisions of dreams, up to where the rule or the model ends them.

    Returns:
        ``margin`` of what each led to, the ``probability`` of ending and what was ``said``; and
        ``late``, of each ending that the model missed, the decisions that it took to end after
        all, :data:`PATIENCE` + 1 if it did not in so many; and ``cut``, those that the horizon cut
        before either was known.
    """
    dream = Dream(package, LANES, obs=actor.obs, termination=termination)
    rngs = [np.random.default_rng([0, lane]) for lane in range(LANES)]
    margins, probabilities, saids, late, cut = [], [], [], [], 0
    past = np.zeros(LANES, np.int64)  # decisions since the rule ended what goes on
    shown = dream.reset(seeds=list(range(LANES)))
    total = 0
    while total < decisions:
        shown = dream.step(actor.act_all(shown.observation, rngs))
        seen = torch.from_numpy(shown.observation)
        if actor.obs != "pixels":  # features and latent are the normalised state
            seen = model.observe({"s": seen}, "pixels")
        margin = MARGINS[env](seen.numpy())
        fresh = past == 0
        margins.append(margin[fresh])
        probabilities.append(shown.info["termination_probability"][fresh])
        saids.append(shown.terminated[fresh])
        total += int(fresh.sum())
        missed = fresh & ends(margin) & ~shown.terminated
        after = followed(past, missed, shown.terminated, shown.truncated, PATIENCE)
        late += after.late
        cut += after.cut
        past = after.past
        over = shown.terminated | shown.truncated | after.given_up
        if over.any():
            shown = dream.reset(over)
    dream.close()
    return {
        "margin": np.concatenate(margins),
        "probability": np.concatenate(probabilities).astype(np.float64),
        "said": np.concatenate(saids),
        "late": np.array(late, np.int64),
        "cut": np.array(cut),
    }


def measure(
    package: Package, policy: Path | None, work: Path, decisions: int, share: float, say: Progress
) -> dict[str, Any]:
    """All rows and curves of one package."""
    real = package.config.real
    env = real.env_id
    if env not in MARGINS or real.kwargs or real.preprocessing:
        raise SystemExit(f"{env}: expected one of {', '.join(MARGINS)}, as Gymnasium makes it")
    model = package.world_model("cpu")
    assert isinstance(model, Ensemble)
    name = str(package.path or package.config.name)
    sets = {"random": held_out(env, work, round(share * 300), say)}
    if policy is not None:
        few = round(share * 60)
        sets["policy"] = held_out(env, work, few, say, policy=policy, dream=name)
    result: dict[str, Any] = {"rows": [], "curves": {}, "late": {}, "cut": {}}
    result["rule against env"] = 0
    for of, rollouts in sets.items():
        found = judged_rows(package, model, env, rollouts, of)
        result["rows"] += found["rows"]
        result["curves"] |= found["curves"]
        result["rule against env"] += found["rule against env"]
    for of, acting in (("random", "random"), ("policy", policy)):
        if acting is None:
            continue
        actor = Actor(str(acting), name, deterministic=False)
        for termination in ("sample", "threshold"):
            say(f"{env}, dreams of {of}, {termination}", 0, 1)
            found = dreamed(package, model, env, actor, termination, decisions)
            really, close = ends(found["margin"]), near(found["margin"])
            for part, chosen in ((False, np.ones(len(really), bool)), (True, close)):
                row = {"where": f"dreams, {of}", "termination": termination, "near": part}
                result["rows"].append(row | counted(found["said"][chosen], really[chosen]))
            result["late"][f"dreams, {of}, {termination}"] = np.bincount(
                found["late"], minlength=PATIENCE + 2
            ).tolist()
            result["cut"][f"dreams, {of}, {termination}"] = int(found["cut"])
            if termination == "sample":
                margin = curve(found["margin"], found["probability"], EDGES)
                result["curves"][f"dreams, {of}"] = margin
    return result | {
        "threshold": package.config.defaults.threshold,
        "real steps": package.config.provenance.get("real_steps"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", action="append", default=[])
    parser.add_argument("--policy", action="append", default=[])
    parser.add_argument("--envs", nargs="+", default=list(MARGINS), choices=MARGINS)
    parser.add_argument("--work", type=Path, required=True, help="keeps episodes and packages")
    parser.add_argument("--out", type=Path, help="a .json, beside which goes a .png")
    parser.add_argument("--decisions", type=int, default=50_000, help="of dreams, each")
    parser.add_argument("--steps", type=int, default=2000, help="of a fit")
    parser.add_argument("--quick", action="store_true", help="a look: fewer of everything")
    given = parser.parse_args()
    if len(given.policy) > len(given.package):
        parser.error("--policy: expected at most one for each --package")
    torch.set_num_threads(1)
    say = LogLines(30)
    packages = [load_package(resolve(named)) for named in given.package] or [
        random_package(env, given.work, steps=given.steps, seed=0, progress=say)
        for env in given.envs
    ]
    share, decisions = (0.2, given.decisions // 10) if given.quick else (1.0, given.decisions)
    result: dict[str, Any] = {"edges": EDGES.round(3).tolist(), "quick": given.quick}
    result["envs"] = {}
    for package, policy in zip_longest(packages, given.policy):
        path = None if policy in (None, "-") else Path(policy)
        env = package.config.real.env_id
        found = result["envs"][env] = measure(package, path, given.work, decisions, share, say)
        for row in found["rows"]:
            figures = {n: row[n]["value"] for n in ("precision", "recall")}
            print(env, {n: v for n, v in row.items() if n not in figures} | figures, flush=True)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result) + "\n", encoding="utf-8")
        draw(result, given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
