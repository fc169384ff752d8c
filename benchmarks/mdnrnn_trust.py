r"""Whether dropout tells an MDN-RNN how unsure it is: doubts against its errors on real episodes.

    dreamenv collect CarRacing-v3 --episodes 8 --seed 9101 --policy POLICY.zip \
        --dream Dream-CarRacing-v0 --out DATA/policy
    dreamenv collect CarRacing-v3 --episodes 8 --seed 9102 --out DATA/random
    python benchmarks/mdnrnn_trust.py --real policy=DATA/policy --real random=DATA/random \
        --policy POLICY.zip --out docs/figures/mdnrnn_trust.json

Real episodes, none of which the model was fitted on, are filtered through it, and each way to tell
(``mdnrnn_doubts.py``) is ranked against what the model then got wrong. Then the policy dreams whole
episodes: is the model less sure where it pays more than anything real does?
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mdnrnn_doubts import doubts, expected, own_spread
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from dreamenv.actor import Actor
from dreamenv.audit.bootstrap import resample
from dreamenv.data.rollouts import Rollouts
from dreamenv.make import make_vector_env
from dreamenv.models.mdnrnn import MDNRNN
from dreamenv.models.two_hot import expectation
from dreamenv.packages import load_package
from dreamenv.progress import silent
from dreamenv.rounds import best_pace
from dreamenv.sources import resolve
from dreamenv.training.mdnrnn import read
from dreamenv.training.sequences import encode

Columns = dict[str, NDArray[np.float64]]
SAMPLES = 8
"""Draws of the next latent over which a predicted reward is averaged."""
BLOCK = 50
"""Decisions that a dream's pay is looked at together."""
LAP = 200
"""Decision after which a real lap is driven, and only the dream pays on."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Seen:
    """Decisions of some episodes, end to end; every column ``[decisions]``."""

    episode: NDArray[np.int64]
    doubts: Columns
    errors: Columns


@torch.inference_mode()
def seen(model: MDNRNN, data: Path) -> Seen:
    """What the model makes of each decision before it sees what followed, and how wrong it was."""
    sequences = encode(model.vae, Rollouts.open(data).episodes, silent)
    generator = torch.Generator().manual_seed(0)
    columns: dict[str, list[torch.Tensor]] = {}
    errors: dict[str, list[torch.Tensor]] = {}
    episode = []
    for index, reading in sorted(read(model, sequences)):
        h, real_z, real = reading.h[1:], reading.z[1:], sequences[index].rewards
        mixture = model.following(h)
        draws = []
        for _ in range(SAMPLES):
            uniform = torch.rand(len(h), model.noise.uniform, generator=generator)
            normal = torch.randn(len(h), model.latent, generator=generator)
            draws.append(mixture.sample(torch.ones(len(h)), uniform, normal))
        said = [expectation(model.judge(h, z)[0], model.reward_bins) for z in draws]
        z = draws[0]
        told = doubts(model, h, z) | own_spread(model, h, z)
        wrong = {
            "reward": (torch.stack(said).mean(0) - real).abs(),
            "reward, given the real latent": (reading.reward - real).abs(),
            "latent": (expected(mixture) - real_z).square().mean(-1).sqrt(),
            "latent, log likelihood": reading.nll,
        }
        for into, values in ((columns, told), (errors, wrong)):
            for name, value in values.items():
                into.setdefault(name, []).append(value)
        episode += [index] * len(h)
    return Seen(
        np.array(episode),
        {name: torch.cat(parts).double().numpy() for name, parts in columns.items()},
        {name: torch.cat(parts).double().numpy() for name, parts in errors.items()},
    )


def together(told: Columns, units: dict[str, float]) -> Columns:
    """With the sums of reward's and latent's, each in units of its 95th percentile."""
    kinds = [name.removeprefix("reward, ") for name in told if name.startswith("reward, ")]
    pairs = {
        f"both, {kind}": [f"reward, {kind}", f"latent, {kind}"]
        for kind in kinds
        if f"latent, {kind}" in told
    }
    return told | {name: sum(told[n] / units[n] for n in pair) for name, pair in pairs.items()}


class Ranks:
    """Rank correlations between columns of the same decisions, and how they vary by episode.

    Ranks are those among all decisions, in every resample of the episodes alike.
    """

    def __init__(self, columns: Columns, episode: NDArray[np.int64]) -> None:
        self._names = list(columns)
        ranks = np.stack([rankdata(column) for column in columns.values()])
        ranks = (ranks - ranks.mean(1, keepdims=True)) / ranks.std(1, keepdims=True)
        numbers = np.unique(episode)
        own = [ranks[:, episode == number] for number in numbers]
        self._weights = np.concatenate(
            [np.ones((1, len(numbers))), resample(len(numbers), 0, RESAMPLES)]
        )
        counts = self._weights @ np.array([rows.shape[1] for rows in own])
        means = self._weights @ np.stack([rows.sum(1) for rows in own]) / counts[:, None]
        products = np.tensordot(self._weights, np.stack([r @ r.T for r in own]), 1)
        covariances = products / counts[:, None, None] - means[:, :, None] * means[:, None, :]
        deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        self._all = covariances / deviations[:, :, None] / deviations[:, None, :]

    def of(self, x: str, y: str, given: str | None = None) -> dict[str, float]:
        """Spearman's, or what is left of it once a third column's ranks are accounted for."""
        i, j = self._names.index(x), self._names.index(y)
        found = self._all[:, i, j]
        if given is not None:
            k = self._names.index(given)
            to_x, to_y = self._all[:, i, k], self._all[:, j, k]
            found = (found - to_x * to_y) / np.sqrt((1 - to_x**2) * (1 - to_y**2))
        low, high = np.percentile(found[1:], [2.5, 97.5])
        return {"value": float(found[0]), "low": float(low), "high": float(high)}


def ranked(of: Seen, told: Columns) -> dict[str, Any]:
    """Every doubt against every error, with intervals that draw whole episodes."""
    ranks = Ranks(told | {f"error, {k}": v for k, v in of.errors.items()}, of.episode)
    table: dict[str, Any] = {}
    for name in told:
        table[name] = {}
        for kind in of.errors:
            entry: dict[str, Any] = ranks.of(name, f"error, {kind}")
            if "predicted" not in name:
                own = f"{kind.split(',')[0]}, predicted deviation"
                entry["given the model's own deviation"] = ranks.of(name, f"error, {kind}", own)
            table[name][kind] = entry
    return table


@torch.inference_mode()
def dreamt(
    model: MDNRNN, dream: str, policy: str, episodes: int
) -> tuple[NDArray[np.float64], list[Columns]]:
    """Rewards ``[decisions, episodes]`` of whole dreamed episodes, and the doubts at each."""
    actor = Actor(policy, dream, False)
    env = make_vector_env(
        model=dream,
        num_envs=episodes,
        obs="features",
        termination="none",
        autoreset_mode="NextStep",
    )
    rngs = [np.random.default_rng(seed) for seed in range(episodes)]
    observation, _ = env.reset(seed=list(range(episodes)))
    rewards, told, over = [], [], False
    while not over:
        observation, reward, _, truncated, _ = env.step(actor.act_all(observation, rngs))
        features = torch.from_numpy(np.array(observation))
        z, h = features[:, : model.latent], features[:, model.latent :]
        values = doubts(model, h, z, [8]) | own_spread(model, h, z)
        told.append({name: value.double().numpy() for name, value in values.items()})
        rewards.append(np.array(reward, np.float64))
        over = bool(np.all(truncated))
    env.close()
    return np.stack(rewards), told


def in_dreams(
    rewards: NDArray[np.float64],
    told: dict[str, NDArray[np.float64]],
    real: dict[str, NDArray[np.float64]],
    highest: float,
) -> dict[str, Any]:
    """Where a dream flatters against where it does not.

    Args:
        told: by name, ``[decisions, episodes]``.
        real: of the same policy's real decisions.
        highest: the best that a real episode was paid a decision over :data:`BLOCK`.
    """
    blocks = rewards[: len(rewards) // BLOCK * BLOCK].reshape(-1, BLOCK, rewards.shape[1]).mean(1)
    table: dict[str, Any] = {
        "mean return": float(rewards.sum(0).mean()),
        "share of blocks paid more than any real one": float((blocks > highest).mean()),
    }
    for name, doubt in told.items():
        own = doubt[: len(blocks) * BLOCK].reshape(len(blocks), BLOCK, -1).mean(1)
        unit = float(np.percentile(real[name], 95))
        flattered = own[blocks > highest]
        table[name] = {
            "real": float(real[name].mean()) / unit,
            f"dreamt before decision {LAP}": float(doubt[:LAP].mean()) / unit,
            "dreamt after it": float(doubt[LAP:].mean()) / unit,
            "in blocks paid more than any real one": float(flattered.mean()) / unit
            if flattered.size
            else None,
            "rank correlation with the pay of its block": float(
                spearmanr(own, blocks, axis=None).statistic
            ),
            "rank correlation with the return of its episode": float(
                spearmanr(doubt.mean(0), rewards.sum(0)).statistic
            ),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument(
        "--real", action="append", required=True, help="NAME=DATA, of the policy first"
    )
    parser.add_argument("--policy", required=True)
    parser.add_argument("--dreams", type=int, default=48)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    package = load_package(resolve(arguments.dream))
    model = package.world_model()
    if not isinstance(model, MDNRNN) or not model.sizes.dropout:
        raise SystemExit("--dream: expected a package of family mdnrnn with dropout")
    data = {name: Path(path) for name, path in (pair.split("=", 1) for pair in arguments.real)}
    by_name = {name: seen(model, path) for name, path in data.items()}
    first = next(iter(by_name))
    everything = Seen(
        np.concatenate([of.episode + 10**6 * i for i, of in enumerate(by_name.values())]),
        *(
            {k: np.concatenate([getattr(of, kind)[k] for of in by_name.values()]) for k in names}
            for kind, names in (
                ("doubts", by_name[first].doubts),
                ("errors", by_name[first].errors),
            )
        ),
    )
    units = {name: float(np.percentile(value, 95)) for name, value in everything.doubts.items()}
    result: dict[str, Any] = {
        "dream": arguments.dream,
        "episodes": {name: len(np.unique(of.episode)) for name, of in by_name.items()},
        "decisions": {name: len(of.episode) for name, of in by_name.items()},
        "95th percentiles": units,
        "rank correlation with the model's errors": {
            name: ranked(of, together(of.doubts, units))
            for name, of in (by_name | {"all": everything}).items()
        },
        "mean doubt, in units of the 95th percentile": {
            name: {k: float(v.mean()) / units[k] for k, v in of.doubts.items()}
            for name, of in by_name.items()
        },
    }
    rewards, told = dreamt(model, arguments.dream, arguments.policy, arguments.dreams)
    columns = {name: np.stack([step[name] for step in told]) for name in told[0]}
    highest = best_pace(Rollouts.open(data[first]).episodes, BLOCK)
    result["in the policy's dreams"] = in_dreams(
        rewards, together(columns, units), together(by_name[first].doubts, units), highest
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
