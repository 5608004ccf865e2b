"""Boxes drawn by hand, as they travel: in shares of their photo, whatever size it is sent at.

Beside photos in a folder lies ``capture.json``, in a request archive they stand in ``config.json``;
both say ``"boxes": {"photo.jpg": [left, top, width, height]}`` with numbers from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from helpers.errors import fit_to_print
from helpers.photos.faces import Box
from helpers.photos.photo import Photo

KEY = "boxes"
SIDECAR = "capture.json"


def to_shares(box: Box, size: tuple[int, int]) -> list[float]:
    """Left, top, width and height as shares of a picture of that size, 0 .. 1."""
    left, top = max(box.left, 0), max(box.top, 0)
    right, bottom = min(box.right, size[0]), min(box.bottom, size[1])
    edges = (left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1])
    return [round(edge, 5) for edge in edges]


def from_shares(shares: Any, size: tuple[int, int]) -> Box:
    """The box in pixels of a picture of that size. Raises ``ValueError`` in words where these are
    not four numbers of a box that lies in its picture."""
    if not isinstance(shares, list) or len(shares) != 4 or not all(map(_is_number, shares)):
        raise ValueError("four numbers are wanted: left, top, width and height")
    left, top, width, height = shares
    if min(left, top) < 0 or min(width, height) <= 0 or max(left + width, top + height) > 1.001:
        raise ValueError("left, top, width and height are shares of the photo, from 0 to 1")
    return Box(
        left=round(left * size[0]), top=round(top * size[1]),
        width=max(round(width * size[0]), 1), height=max(round(height * size[1]), 1),
    )  # fmt: skip


def with_boxes(photos: Iterable[Photo], shares: Any) -> list[Photo]:
    """The photos with the boxes that a file names for them; names of no photo are passed over.

    Raises ``ValueError`` that names the photo.
    """
    if not isinstance(shares, Mapping):
        raise ValueError(f"{KEY} must be an object of photos and their boxes")
    framed = []
    for photo in photos:
        if photo.name in shares:
            try:
                photo = replace(photo, box=from_shares(shares[photo.name], photo.image.size))
            except ValueError as error:
                name = fit_to_print(photo.name, 255)
                raise ValueError(f"{KEY}, {name}: {error}") from None
        framed.append(photo)
    return framed


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6
