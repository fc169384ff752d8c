"""Which class a family's name stands for."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dreamenv.config import DiscreteAction, PackageConfig
from dreamenv.models.ensemble import BOUNDS, Ensemble, EnsembleSizes
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes


def build(config: PackageConfig) -> MDNRNN | Ensemble:
    """An untrained model of a package's family and sizes.

    Build it under ``torch.device("meta")`` to learn names and shapes without allocating.

    Raises:
        ValueError: sizes that are unknown, out of range, or at odds with the rest of the config.
    """
    if config.family == "ensemble":
        ensemble: EnsembleSizes = _sizes(config, EnsembleSizes)
        shape, dtype, features = [ensemble.observation], "float32", ensemble.observation
        _agree(config, ensemble, shape, dtype, ensemble.observation, features)
        return Ensemble(ensemble)
    mdnrnn: MDNRNNSizes = _sizes(config, MDNRNNSizes)
    shape, features = [mdnrnn.height, mdnrnn.width, mdnrnn.channels], mdnrnn.latent + mdnrnn.hidden
    _agree(config, mdnrnn, shape, "uint8", mdnrnn.latent, features)
    return MDNRNN(mdnrnn)


def start_shapes(config: PackageConfig) -> dict[str, tuple[int, ...]]:
    """Shape of one start state's tensors, float16, by name (beside ``first``, which all have)."""
    if config.family == "ensemble":
        return {"s": (config.latent,)}
    hidden = config.features - config.latent
    return {"z": (config.latent,), "h": (hidden,), "c": (hidden,)}


def weight_bounds(config: PackageConfig) -> dict[str, tuple[float, float]]:
    """Least and most value of the weights that cannot be just any finite numbers, by name."""
    return BOUNDS if config.family == "ensemble" else {}


def _sizes(config: PackageConfig, kind: Any) -> Any:
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(config.sizes) - set(known))
    if unknown:
        raise ValueError(f"sizes: unknown {unknown}; family {config.family} knows {sorted(known)}")
    return kind(**config.sizes)


def _agree(
    config: PackageConfig,
    sizes: MDNRNNSizes | EnsembleSizes,
    shape: list[int],
    dtype: str,
    latent: int,
    features: int,
) -> None:
    """Refuse a config that says other than its sizes.

    Raises:
        ValueError: naming the field, what follows from the sizes, and what it says.
    """
    discrete = isinstance(config.action, DiscreteAction)
    action = config.action.n if isinstance(config.action, DiscreteAction) else config.action.size
    follows = {
        "observation_shape": (config.observation_shape, shape),
        "observation_dtype": (config.observation_dtype, dtype),
        "action": ([discrete, action], [bool(sizes.discrete), sizes.action]),
        "latent": (config.latent, latent),
        "features": (config.features, features),
        "latent_bound": (config.latent_bound, sizes.latent_bound),
    }
    for field, (said, expected) in follows.items():
        if said != expected:
            raise ValueError(f"{field}: expected {expected} from sizes, got {said}")
