"""``dreamenv train ensemble``: rollouts of vectors in, a dream package out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from dreamenv.config import DiscreteAction, DreamDefaults, PackageConfig, RealSpec, TrustScale
from dreamenv.data.rollouts import Episode, Rollouts
from dreamenv.errors import DataError
from dreamenv.learn_defaults import LearnDefaults
from dreamenv.models.ensemble import Ensemble, EnsembleSizes
from dreamenv.package_files import refuse_to_overwrite_others
from dreamenv.packages import Package, load_package, save_package
from dreamenv.progress import Progress, silent
from dreamenv.real_specs import real_horizon
from dreamenv.threads import one_torch_thread
from dreamenv.training.ensemble import (
    EnsembleConfig,
    begin_endings,
    endings_foretold,
    fit_ensemble,
    foretold,
)
from dreamenv.training.healthy import with_healthy_range
from dreamenv.training.held_out import held_out_by, hold_out
from dreamenv.training.termination import Endings, fit_threshold
from dreamenv.training.train import claim_training, versions
from dreamenv.training.transitions import Transitions
from dreamenv.training.units import fit_units

UNMEASURED = TrustScale(quantiles=[float(percent) for percent in range(101)])
"""Stands for the scale of trust until there is one, where a package's defaults are checked."""


@dataclass(frozen=True)
class EnsembleTrainConfig:
    """One fit of a package. ``sizes`` are those of the family, where they differ from its own."""

    name: str = "Dream"
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    sizes: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    """Dream knobs (:class:`~dreamenv.config.DreamDefaults`) to put in the package. The horizon is
    the real env's own limit, if it has one, where it is not among them."""
    learn: dict[str, Any] = field(default_factory=dict)
    """Learner settings (:class:`~dreamenv.config.LearnDefaults`) to put in the package."""
    bank: int = 20_000
    """Start states: all beginnings of episodes first, then moments drawn evenly from the rest."""
    held_out: float = 0.1
    """Share of the data that the fit does not see."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bank < 1:
            raise ValueError(f"bank: expected at least 1, got {self.bank}")
        if not 0.0 < self.held_out < 1.0:
            raise ValueError(f"held_out: expected a share between 0 and 1, got {self.held_out}")


def train_ensemble(
    data: Sequence[Path] | Path,
    out: Path,
    config: EnsembleTrainConfig | None = None,
    *,
    initial: Package | None = None,
    progress: Progress = silent,
    provenance: dict[str, Any] | None = None,
    card: str | None = None,
) -> Package:
    """Fit an ensemble on rollouts and save the package; killed, the same call goes on.

    Takes and raises what :func:`dreamenv.training.train.train_mdnrnn` does. Held out are whole
    episodes, or decisions of all of them where there are fewer than 20 or ``initial`` was
    fitted so: it knows most of each of its episodes. The package's provenance says
    which (``held_out_by``). In the second case the cut of ``termination="threshold"`` is fitted in
    episodes that mostly were trained on, and there are no figures of endings.
    """
    config = config or EnsembleTrainConfig()
    rollouts = Rollouts.open(data)
    episodes = rollouts.episodes
    if len(episodes) < 2:
        raise DataError(f"{data}: expected at least 2 episodes, got {len(episodes)}; collect more")
    sizes = _sizes(rollouts, config.sizes)
    described = _described(rollouts, sizes, config)  # and what is wrong with it said at once
    refuse_to_overwrite_others(out)
    torch.manual_seed(config.seed)
    model = Ensemble(sizes)
    if initial is not None:
        try:
            model.load_state_dict(_networks(initial))
        except RuntimeError as error:
            raise DataError(
                f"initial: expected a package of sizes {asdict(sizes)}, got {initial.config.sizes}"
            ) from error
    folder = out.with_name(out.name + ".training")
    claim_training(folder, rollouts, initial, asdict(config))
    by = held_out_by(len(episodes), None if initial is None else initial.config.provenance)
    seen, unseen, judged = hold_out(episodes, config.held_out, by)
    fit_units(model, seen, keep=initial is not None)
    if initial is None:
        begin_endings(model, seen)
    # Products this small gain little from more threads, and lose much where cores are busy.
    with one_torch_thread():
        fit_ensemble(
            model, seen, unseen, config.ensemble, seed=config.seed, folder=folder, progress=progress
        )
    if config.ensemble.healthy_range:
        model, sides = with_healthy_range(model, seen, unseen)
        if sides:
            ends = [{"number": s.number, "sign": s.sign, "bound": s.bound} for s in sides]
            provenance = {"healthy_range": ends} | (provenance or {})
    measured, endings, trust = _measure(model, unseen, judged)
    if by == "episodes":
        measured |= {"endings_actual": endings.actual, "endings_predicted": endings.predicted}
    knobs: dict[str, Any] = {"threshold": endings.threshold} | _horizon(rollouts.real)
    if not any(e.terminated for e in episodes):
        knobs["termination"] = "none"
    package = Package(
        config=described.model_copy(
            update={
                "sizes": asdict(model.sizes),
                "defaults": DreamDefaults(**(knobs | config.defaults)),
                "trust": trust,
                "provenance": {
                    "real_steps": rollouts.real_steps,
                    "episodes": len(episodes),
                    "held_out": measured,
                    "held_out_by": by,
                    "training": asdict(config),
                    "versions": versions(),
                }
                | (provenance or {}),
            }
        ),
        weights=model.state_dict(),
        starts=vector_bank(model, episodes, config.bank, config.seed),
        path=None,
    )
    save_package(package, out, card or "")
    return load_package(out)


def _networks(package: Package) -> dict[str, Tensor]:
    """A package's weights without its healthy range, which each fit finds anew."""
    return {n: w for n, w in package.weights.items() if not n.startswith("healthy.")}


def vector_bank(
    model: Ensemble, episodes: Sequence[Episode], most: int, seed: int
) -> dict[str, Tensor]:
    """Start states: the first observation of every episode, and then others up to ``most``, drawn
    evenly. What followed an ending is none: a dream that starts there is over at once.

    Returns:
        ``s`` float16 ``[M, n]``, normalised; ``first`` uint8 ``[M]``.
    """
    generator = torch.Generator().manual_seed(seed)
    first = torch.from_numpy(np.stack([e.frames[0] for e in episodes]))
    frames = [e.frames[1 : len(e) + (not e.terminated)] for e in episodes]
    later = torch.from_numpy(np.concatenate(frames))
    first = first[torch.randperm(len(first), generator=generator)[:most]]
    chosen = torch.randperm(len(later), generator=generator)[: most - len(first)]
    later = later[chosen.sort().values]
    s = model.normalised(torch.cat([first, later]))
    is_first = torch.arange(len(s)) < len(first)
    return {"s": s.to(torch.float16), "first": is_first.to(torch.uint8)}


def _measure(
    model: Ensemble, unseen: Transitions, judged: Sequence[Episode]
) -> tuple[dict[str, float], Endings, TrustScale | None]:
    """Figures on held-out decisions, endings in whole episodes, and the scale of trust."""
    said = foretold(model, unseen)
    # Each elite's dreams count as episodes of their own.
    ends = endings_foretold(model, Transitions.of(judged)).split([len(e) for e in judged], dim=1)
    endings = fit_threshold(
        [p.numpy() for episode in ends for p in episode],
        [e.terminated for e in judged for _ in range(model.sizes.elites)],
    )
    if model.healthy is not None:
        endings = replace(endings, threshold=0.5)  # its bounds were placed by the data already
    quantiles = np.quantile(said["uncertainty"].numpy(), np.linspace(0.0, 1.0, 101)).tolist()
    measured = {
        "change_rmse": float(said["error"].square().mean().sqrt()),
        "reward_mae": float((said["reward"] - unseen.reward).abs().mean()),
        "reward_bias": float((said["reward"] - unseen.reward).mean()),
    }
    trust = TrustScale(quantiles=quantiles) if quantiles[95] > 0.0 else None
    return measured, endings, trust


def _described(
    rollouts: Rollouts, sizes: EnsembleSizes, config: EnsembleTrainConfig
) -> PackageConfig:
    """The package's config as far as it does not depend on the fit.

    Raises:
        DataError: a setting that no package can have.
    """
    try:
        return PackageConfig(
            name=config.name,
            family="ensemble",
            sizes=asdict(sizes),
            observation_shape=list(rollouts.observation_shape),
            observation_dtype="float32",
            action=rollouts.action,
            latent=sizes.observation,
            features=sizes.observation,
            latent_bound=sizes.latent_bound,
            real=rollouts.real,
            defaults=DreamDefaults(**config.defaults),
            trust=UNMEASURED if sizes.elites > 1 else None,  # one member disagrees with none
            learn=LearnDefaults(**config.learn),
        )
    except ValidationError as error:
        raise DataError(f"settings of the package: {error}") from error


def _sizes(rollouts: Rollouts, chosen: dict[str, Any]) -> EnsembleSizes:
    manifest, action = rollouts.manifests[0], rollouts.action
    if manifest.observation_dtype != "float32":
        raise DataError(
            f"{rollouts.real.env_id}: expected float32 vectors, which the ensemble family models, "
            f"got {manifest.observation_dtype} {rollouts.observation_shape}; the family mdnrnn "
            "models frames"
        )
    if not rollouts.real.shows_endings:
        raise DataError(
            f"{rollouts.real.env_id}: expected data without hold_last_frame: the ensemble family "
            "reads endings from the observation that follows them; collect again without it"
        )
    own = {
        "observation": rollouts.observation_shape[0],
        "action": action.n if isinstance(action, DiscreteAction) else action.size,
        "discrete": int(isinstance(action, DiscreteAction)),
        "healthy_range": 0,  # until one is found
    }
    try:
        return EnsembleSizes(**own, **chosen)
    except (TypeError, ValueError) as error:
        raise DataError(f"sizes: {error}") from error


def _horizon(real: RealSpec) -> dict[str, int]:
    """The real env's own limit as a knob; none for an env without, or that is not known here."""
    known = real.max_episode_steps is not None or real.env_id in gym.registry
    limit = real_horizon(real) if known else None
    return {} if limit is None else {"horizon": limit}
