"""Where the head must be in a photo in which no face was found.

The cascade knows frontal faces, and a good set has profiles. So the other photos of the set are
asked: how large is this person's face as a rule, and where? With that size the person is cut out
of the photo at hand (``matting``), and the head is the upper end of what was cut out. Where the
cut is not plausible, the place that the others agree on is taken as it is.

Measured on twelve drawn profiles (two people, 3 settings, both sides, whole and shifted): the
centre was off by 0.2 face widths on average and by 0.6 at most, of the 1.15 to the square's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from helpers.photos.crop import at_centre, cut
from helpers.photos.faces import Box
from helpers.photos.matting import MATTE_SIDE, find_matte
from helpers.photos.photo import Image

FEWEST = 2
"""Found faces that make a rule; and there must be three for every two that were missed. A
cascade sees faces in half of a dog's photos too, and there is nothing to be learned from those."""
CROWN = 0.95  # face widths (brows to mouth) from a face's centre up to the crown of its head
HEAD = 1.2  # face widths from there down to the chin


def place_missed(
    images: Sequence[Image], faces: Sequence[Box | None]
) -> list[tuple[Box, Literal["mask", "set"]] | None]:
    """For each ``None`` among ``faces`` the likely face box in pixels of that image and what told
    it; ``None`` where a face was found, or where the set has too few faces to tell.

    ``faces`` holds the face of each of ``images`` (RGB, upright), in the same order.
    """
    found = [(face, image) for face, image in zip(faces, images, strict=True) if face is not None]
    if len(found) < max(FEWEST, 1.5 * (len(faces) - len(found))):
        return [None] * len(faces)
    usual = np.median([_relative(face, image) for face, image in found], axis=0)
    return [
        _place(image, usual) if face is None else None
        for face, image in zip(faces, images, strict=True)
    ]


def _relative(face: Box, image: Image) -> tuple[float, float, float]:
    """Centre in shares of width and height, face width in shares of the shorter side."""
    x, y = face.centre
    return x / image.width, y / image.height, face.width / min(image.size)


def _place(image: Image, usual: np.ndarray) -> tuple[Box, Literal["mask", "set"]]:
    side = usual[2] * min(image.size)
    guess = _around(usual[0] * image.width, usual[1] * image.height, side)
    centre = _head_of_mask(image, guess)
    if centre is None:
        return guess, "set"
    return _around(*centre, side), "mask"


def _around(x: float, y: float, side: float) -> Box:
    half = side / 2
    return Box(
        left=round(x - half), top=round(y - half), width=max(round(side), 1),
        height=max(round(side), 1),
    )  # fmt: skip


def _head_of_mask(image: Image, guess: Box) -> tuple[float, float] | None:
    """The centre of the face, from the upper end of the person who was cut out."""
    square = at_centre(image.size)
    scale = MATTE_SIDE / square.side
    moved = Box(
        left=guess.left - square.left, top=guess.top - square.top,
        width=guess.width, height=guess.height,
    ).scaled(scale)  # fmt: skip
    try:
        matte = find_matte(cut(image, square, MATTE_SIDE), moved)
    except ImportError:  # OpenCV is an extra
        return None
    if matte is None:
        return None
    front = np.asarray(matte) > 127
    rows = np.flatnonzero(front.sum(axis=1) > 0.1 * moved.width)
    if not len(rows):
        return None
    head = front[rows[0] : rows[0] + max(round(HEAD * moved.width), 1)]
    x, y = np.median(np.nonzero(head)[1]), rows[0] + CROWN * moved.width
    return float(x / scale + square.left), float(y / scale + square.top)
