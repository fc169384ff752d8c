"""What a dream's pictures are: its frames, or bars for what has none."""

from __future__ import annotations

from dreamenv.config import PackageConfig
from dreamenv.dream.bars import bars_shape


def shows_pictures(config: PackageConfig) -> bool:
    """Whether observations are frames that can be looked at: uint8 ``[H, W]`` or
    ``[H, W, 1 or 3]``."""
    shape = config.observation_shape
    flat = len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3))
    return flat and config.observation_dtype == "uint8"


def picture_shape(config: PackageConfig) -> tuple[int, int, int]:
    """Of one lane's picture, ``[H, W, 3]``: a frame in colour, or the latent as bars."""
    if shows_pictures(config):
        height, width = config.observation_shape[:2]
        return height, width, 3
    return bars_shape(config.latent)
