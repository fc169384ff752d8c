"""``dreamenv audit --sweep``: a policy for each value of a knob, scored in its dream and for real.

The experiment of *World Models* (Ha & Schmidhuber 2018, table 2), for any knob of any dream.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dreamenv.audit.bootstrap import Interval, interval, mean, mean_difference
from dreamenv.audit.plots import png, require_matplotlib
from dreamenv.audit.sweep_page import draw, shown, table
from dreamenv.audit.verdict import Evidence, judge
from dreamenv.claim import write_json
from dreamenv.dream.knobs import KNOBS, check_knobs, check_starts
from dreamenv.progress import Progress, silent
from dreamenv.trial import Trial, TrialConfig, score
from dreamenv.trials import run_trials

RANDOM_SEED = 2**19
"""Episodes of the random policy are others than those of any trial."""


@dataclass(frozen=True)
class SweepConfig:
    """What is swept, and how well each point is measured."""

    dream: str
    knob: str
    values: tuple[Any, ...]
    """Of the knob; a temperature may be a range, ``(low, high)``."""
    knobs: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Other knobs, the same at all points."""
    seeds: int = 3
    """Policies a value."""
    episodes: int = 100
    """Of each policy, on each side."""
    algo: str | None = None
    timesteps: int | None = None
    evaluation_seed: int = 0
    """Seed s plays episodes ``evaluation_seed + s``: the same ones at all points."""


@dataclass(frozen=True)
class Point:
    """One value of the knob."""

    value: Any
    dream: Interval
    """Mean return over all seeds' episodes; seeds are resampled, then their episodes."""
    real: Interval
    dream_std: float
    """Over episodes."""
    real_std: float
    seeds: list[dict[str, float]]
    """Each policy's means."""
    word: str
    """As of :func:`~dreamenv.audit.verdict.judge`."""
    sentence: str


@dataclass(frozen=True)
class Sweep:
    """All points, and the random policy beside them."""

    config: SweepConfig
    points: list[Point]
    random: Interval
    random_std: float
    path: Path

    @property
    def best(self) -> Point:
        """The value whose policies score most on the real env."""
        return max(self.points, key=lambda point: point.real.value)


def parse_sweep(text: str) -> tuple[str, tuple[Any, ...]]:
    """``knob=value,value,…`` as knob and values; ``low:high`` is a range of temperatures.

    >>> parse_sweep("temperature=0.5,1,0.75:1.25")
    ('temperature', (0.5, 1.0, (0.75, 1.25)))

    Raises:
        ValueError: no such knob, or a value it does not take.
    """
    knob, equals, listed = text.partition("=")
    names = (*KNOBS, "starts")
    if not equals or knob not in names or not listed:
        raise ValueError(
            f"sweep: expected KNOB=VALUE,… with one of {', '.join(names)}; got {text!r}"
        )
    values = tuple(_value(knob, item) for item in listed.split(","))
    if len(set(values)) < len(values):
        raise ValueError(f"sweep: expected different values, got {text!r}")
    return knob, values


def sweep(
    config: SweepConfig, out: Path, *, workers: int = 2, progress: Progress = silent
) -> Sweep:
    """Learn and score every point; killed, the same call goes on.

    Leaves ``sweep.json``, ``sweep.png`` and ``sweep.md`` in ``out``, written anew after each point,
    and every policy in a folder of its own.

    Raises:
        DataError: ``out`` holds trials of other settings.
        ImportError: the extra ``plots`` is missing, or those of the learner or the real env.
        ValueError: the knob that is swept is among ``knobs`` too.
    """
    require_matplotlib()
    if config.knob in config.knobs:
        raise ValueError(f"{config.knob}: expected it swept or set, got both; leave one out")
    out.mkdir(parents=True, exist_ok=True)
    random = score(
        "random",
        config.dream,
        "real",
        out / "random.json",
        episodes=max(config.episodes, 20),
        seed=RANDOM_SEED,
        workers=workers,
        progress=progress,
    )
    level = mean(random.returns, seed=0)
    asked = [(value, seed) for value in config.values for seed in range(config.seeds)]
    done: dict[tuple[Any, int], Trial] = {}

    def found() -> Sweep:
        groups = [(v, [done.get((v, s)) for s in range(config.seeds)]) for v in config.values]
        points = [
            _point(v, whole, level, random.std, max(random.returns))
            for v, trials in groups
            if len(whole := [t for t in trials if t is not None]) == config.seeds
        ]
        return Sweep(config, points, level, random.std, out)

    def finished(number: int, trial: Trial) -> None:
        done[asked[number]] = trial
        if (so_far := found()).points:
            _write(so_far)

    trials = [(_trial(config, *point), _folder(config, out, *point)) for point in asked]
    run_trials(trials, workers=workers, progress=progress, finished=finished)
    return found()


def _trial(config: SweepConfig, value: Any, seed: int) -> TrialConfig:
    return TrialConfig(
        dream=config.dream,
        seed=seed,
        knobs={**config.knobs, config.knob: _plain(value)},
        algo=config.algo,
        timesteps=config.timesteps,
        episodes=config.episodes,
        evaluation_seed=config.evaluation_seed + seed,
    )


def _folder(config: SweepConfig, out: Path, value: Any, seed: int) -> Path:
    return out / f"{config.knob}-{shown(value)}" / f"seed-{seed}"


def _point(
    value: Any, trials: Sequence[Trial], random: Interval, random_std: float, best_random: float
) -> Point:
    dreams = [np.array(t.dream.returns) for t in trials]
    reals = [np.array(t.real.returns) for t in trials]
    dream, real = pooled(dreams), pooled(reals)
    verdict = judge(
        Evidence(
            dream=dream,
            real=real,
            gap=mean_difference(np.concatenate(dreams), np.concatenate(reals), seed=0),
            random=random.value,
            random_std=random_std,
            best_real=max(best_random, *(float(r.max()) for r in reals)),
        )
    )
    return Point(
        value=value,
        dream=dream,
        real=real,
        dream_std=float(np.concatenate(dreams).std(ddof=1)),
        real_std=float(np.concatenate(reals).std(ddof=1)),
        seeds=[{"dream": t.dream.mean, "real": t.real.mean} for t in trials],
        word=verdict.word,
        sentence=verdict.sentence,
    )


def pooled(samples: Sequence[Any], seed: int = 0, resamples: int = 2000) -> Interval:
    """Mean over seeds and their episodes, ``[episodes]`` each, with a bootstrap in two stages."""
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        chosen = [samples[i] for i in rng.integers(len(samples), size=len(samples))]
        draws.append(
            statistics.fmean(float(s[rng.integers(len(s), size=len(s))].mean()) for s in chosen)
        )
    return interval(float(np.mean([s.mean() for s in samples])), draws)


def _write(found: Sweep) -> None:
    plain = dataclasses.asdict(dataclasses.replace(found, path=Path()))
    plain.pop("path")
    write_json(found.path / "sweep.json", plain)
    (found.path / "sweep.png").write_bytes(png(draw(found)))
    (found.path / "sweep.md").write_text(table(found), encoding="utf-8")


def _value(knob: str, item: str) -> Any:
    if knob in ("termination", "starts"):
        value: Any = item
    elif ":" in item:
        value = tuple(_number(knob, part) for part in item.split(":"))
    else:
        value = _number(knob, item)
        value = int(value) if knob == "horizon" and value.is_integer() else value
    if knob == "starts":
        check_starts(value)
    else:
        check_knobs(**{knob: value})
    return value


def _number(knob: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"sweep: {knob} is {text!r}; expected a number") from error


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
