"""How good a photo is for training, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFilter

from helpers.photos.photo import Image

MEASURED_SIDE = 256
BLURRED = 0.28  # a Gaussian of about 2.5 pixels at 512 x 512, whatever the picture shows
DARK, BRIGHT = 0.2, 0.85
FLAT = 0.05
ENLARGED = 1.5
NEAR_DUPLICATE = 5  # of 64 bits


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Numbers of one prepared photo.

    ``sharpness``    0 (blurred) .. 1: share of the fine detail that a slight blur takes away
    ``brightness``   mean grey, 0 (black) .. 1 (white)
    ``contrast``     standard deviation of grey, 0 .. 0.5
    ``enlargement``  training pixels per photo pixel along a side; above 1 detail is made up
    ``twin``         name of an earlier photo that shows nearly the same, or ``None``
    """

    sharpness: float
    brightness: float
    contrast: float
    enlargement: float
    twin: str | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a learner may want to change, in words; empty for a good photo."""
        return tuple(
            text
            for applies, text in (
                (self.sharpness < BLURRED, "blurred: hold the camera still or focus again"),
                (self.brightness < DARK, "dark: add light"),
                (self.brightness > BRIGHT, "very bright: avoid a light behind the subject"),
                (self.contrast < FLAT, "little contrast"),
                (
                    self.enlargement > ENLARGED,
                    f"enlarged {self.enlargement:.1f} times: step closer or use a larger photo",
                ),
                (self.twin is not None, f"nearly the same picture as {self.twin}: vary the pose"),
            )
            if applies
        )


def measure(piece: Image, *, enlargement: float, twin: str | None = None) -> Quality:
    """Quality of the square that was cut from a photo, before it was made smaller."""
    piece = piece.convert("L")
    piece.thumbnail((MEASURED_SIDE, MEASURED_SIDE), PillowImage.Resampling.LANCZOS)
    grey = np.asarray(piece, np.float64) / 255
    return Quality(
        sharpness=sharpness(piece),
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        enlargement=enlargement,
        twin=twin,
    )


def sharpness(grey: Image) -> float:
    """Loss of neighbour-to-neighbour change under a box blur (after Crete et al., 2007)."""
    values = np.asarray(grey, np.float64)
    blurred = np.asarray(grey.filter(ImageFilter.BoxBlur(2)), np.float64)
    losses = []
    for axis in (0, 1):
        before = np.abs(np.diff(values, axis=axis))
        after = np.abs(np.diff(blurred, axis=axis))
        total = before.sum()
        losses.append(np.clip(before - after, 0, None).sum() / total if total else 0.0)
    return float(min(losses))


def twins(images: Sequence[Image], names: Sequence[str]) -> list[str | None]:
    """For each picture the name of the first earlier one that looks nearly the same."""
    hashes = [difference_hash(image) for image in images]
    found: list[str | None] = []
    for place, mine in enumerate(hashes):
        earlier = (k for k in range(place) if (mine ^ hashes[k]).bit_count() <= NEAR_DUPLICATE)
        first = next(earlier, None)
        found.append(None if first is None else names[first])
    return found


def difference_hash(image: Image) -> int:
    """64 bits: is each of 8 x 8 cells brighter than its right neighbour? Survives re-encoding,
    resizing and small changes of light."""
    small = image.convert("L").resize((9, 8), PillowImage.Resampling.LANCZOS, reducing_gap=3)
    values = np.asarray(small, np.int16)
    bits = (values[:, 1:] > values[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
