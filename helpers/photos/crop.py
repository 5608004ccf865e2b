"""The square that a photo is cut to, and the cut itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageChops, ImageFilter

from helpers.photos.faces import Box
from helpers.photos.photo import Image

HEAD_AND_SHOULDERS = 2.3  # side of the square in widths of a face box (brows to mouth)
TIGHTEST = 1.2  # a closer picture than this is extended at its edges


@dataclass(frozen=True, kw_only=True)
class Square:
    """A square in pixels of the photo; it may reach beyond its edges."""

    left: int
    top: int
    side: int


def around_face(face: Box, size: tuple[int, int]) -> Square:
    """Head and shoulders around a face; in a close picture, as much as it shows."""
    width = max(face.width, face.height)
    side = round(min(HEAD_AND_SHOULDERS * width, max(min(size), TIGHTEST * width)))
    x, y = face.centre
    return _moved_inside(x, y + 0.08 * width, side, size)  # a little lower: hair above, neck below


def around_box(box: Box, size: tuple[int, int]) -> Square:
    """The smallest square that holds a given box."""
    return _moved_inside(*box.centre, max(box.width, box.height), size)


def at_centre(size: tuple[int, int]) -> Square:
    """The largest square in the middle of the picture."""
    return _moved_inside(size[0] / 2, size[1] / 2, min(size), size)


def cut(image: Image, square: Square, size: int) -> Image:
    """That square of an RGB picture at ``size`` x ``size`` pixels.

    Where the square reaches beyond the picture, the picture is mirrored outwards and blurred:
    a model would learn a black bar as part of its subject.
    """
    if beyond := _beyond(square, image.size):
        image, square = _extended(image, square, beyond)
    corners = square.left, square.top, square.left + square.side, square.top + square.side
    if square.side >= size:
        piece = image.resize((size, size), PillowImage.Resampling.LANCZOS, corners, reducing_gap=3)
    else:
        piece = image.resize((size, size), PillowImage.Resampling.BICUBIC, corners)
    return piece


def reaches_beyond(square: Square, size: tuple[int, int]) -> bool:
    return _beyond(square, size) is not None


def _moved_inside(x: float, y: float, side: int, size: tuple[int, int]) -> Square:
    """Slide the square into the picture; where it is larger than the picture, centre it."""
    starts = []
    for middle, length in ((x, size[0]), (y, size[1])):
        room = length - side
        start = round(middle - side / 2)
        starts.append(min(max(start, 0), room) if room >= 0 else room // 2)
    return Square(left=starts[0], top=starts[1], side=side)


def _beyond(square: Square, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Pixels missing on the left, top, right and bottom; ``None`` if there are none."""
    missing = (
        max(-square.left, 0),
        max(-square.top, 0),
        max(square.left + square.side - size[0], 0),
        max(square.top + square.side - size[1], 0),
    )
    return missing if any(missing) else None


def _extended(
    image: Image, square: Square, beyond: tuple[int, int, int, int]
) -> tuple[Image, Square]:
    left, top, right, bottom = beyond
    margins = ((top, bottom), (left, right))
    pixels = np.pad(np.asarray(image), (*margins, (0, 0)), mode="symmetric")
    inner = np.pad(np.full((image.height, image.width), 255, np.uint8), margins)
    radius = square.side / 40
    mirrored = PillowImage.fromarray(pixels)
    # The mask is blurred too, so that the seam fades out inside the mirrored part.
    keep = PillowImage.fromarray(inner)
    mask = ImageChops.lighter(keep, keep.filter(ImageFilter.GaussianBlur(radius)))
    blurred = mirrored.filter(ImageFilter.GaussianBlur(radius))
    whole = PillowImage.composite(mirrored, blurred, mask)
    return whole, Square(left=square.left + left, top=square.top + top, side=square.side)
