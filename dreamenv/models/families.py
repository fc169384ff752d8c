"""Which class a family's name stands for."""

from __future__ import annotations

from dreamenv.config import DiscreteAction, PackageConfig
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes


def build(config: PackageConfig) -> MDNRNN:
    """An untrained model of a package's family and sizes.

    Build it under ``torch.device("meta")`` to learn names and shapes without allocating.

    Raises:
        ValueError: sizes that are unknown, out of range, or at odds with the rest of the config.
    """
    known = MDNRNNSizes.__dataclass_fields__
    unknown = sorted(set(config.sizes) - set(known))
    if unknown:
        raise ValueError(f"sizes: unknown {unknown}; family mdnrnn knows {sorted(known)}")
    sizes = MDNRNNSizes(**config.sizes)  # type: ignore[arg-type]
    discrete = isinstance(config.action, DiscreteAction)
    action = config.action.n if isinstance(config.action, DiscreteAction) else config.action.size
    agree = {
        "observation_shape": (
            config.observation_shape,
            [sizes.height, sizes.width, sizes.channels],
        ),
        "action": ([discrete, action], [bool(sizes.discrete), sizes.action]),
        "latent": (config.latent, sizes.latent),
        "features": (config.features, sizes.latent + sizes.hidden),
        "latent_bound": (config.latent_bound, sizes.latent_bound),
    }
    for field, (said, follows) in agree.items():
        if said != follows:
            raise ValueError(f"{field}: expected {follows} from sizes, got {said}")
    return MDNRNN(sizes)


def start_shapes(config: PackageConfig) -> dict[str, tuple[int, ...]]:
    """Shape of one start state's tensors, float16, by name (beside ``first``, which all have)."""
    hidden = config.features - config.latent
    return {"z": (config.latent,), "h": (hidden,), "c": (hidden,)}
