"""Free photographs that ship inside scikit-image: some to train the autoencoder on, others not."""

from __future__ import annotations

import numpy as np
from PIL import Image

from helpers.pocket.world.astronaut import HELDOUT, INSTANCE, portrait, variant

_TRAINED_ON = ("chelsea", "coffee", "rocket", "immunohistochemistry", "retina", "camera", "grass",
               "gravel", "brick", "coins", "moon")  # fmt: skip


def photographs(size: int) -> list[np.ndarray]:
    """Photographs to train on, each at full size and smaller, down to little more than ``size``.

    The autoencoder sees crops of them, so that real photos survive it. The astronaut is left out:
    she is kept to measure with, as are the motorcycle and the galaxies.
    """
    from skimage import data

    found = []
    for name in _TRAINED_ON:
        picture = Image.fromarray(getattr(data, name)()).convert("RGB")
        for least in (min(picture.size), 4 * size, 2 * size, 5 * size // 4):
            scale = min(1.0, least / min(picture.size))
            smaller = picture.resize(
                (round(picture.width * scale), round(picture.height * scale)),
                Image.Resampling.LANCZOS,
            )
            found.append(np.asarray(smaller))
    return found


def unseen_photographs(side: int) -> list[Image.Image]:
    """Photographs that no training saw, at ``side``: an astronaut, a motorcycle, galaxies."""
    from skimage import data

    whole = portrait()
    crops = [variant(whole, what, side) for what in (*INSTANCE[:3], INSTANCE[7], HELDOUT[0])]
    for make in (data.stereo_motorcycle, data.hubble_deep_field):
        found = make()
        picture = Image.fromarray(found[0] if isinstance(found, tuple) else found).convert("RGB")
        square = min(picture.size)
        for left in (0, picture.width - square):
            crop = picture.crop((left, 0, left + square, square))
            crops.append(crop.resize((side, side), Image.Resampling.LANCZOS))
    return crops
