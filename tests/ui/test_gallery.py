"""The poster shows every picture it was given, each in its place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from helpers.ui.gallery import TILE, gallery


def _plain(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (64, 64), colour)


@pytest.mark.parametrize("photos", [1, 8, 12])
def test_every_picture_is_on_the_poster(photos: int) -> None:
    learned = [_plain((10 + 9 * i, 0, 250)) for i in range(photos)]
    ours = [[_plain((250, 20 * row, 30 * seed)) for seed in range(2)] for row in range(3)]
    theirs = [[_plain((0, 250, 60 + 30 * row + seed)) for seed in range(2)] for row in range(3)]
    poster = gallery(
        photos=learned, prompts=["one", "two", "three " * 9], with_adapter=ours,
        without_adapter=theirs,
    )  # fmt: skip
    colours, counts = np.unique(np.asarray(poster).reshape(-1, 3), axis=0, return_counts=True)
    area = {tuple(map(int, c)): int(n) for c, n in zip(colours, counts, strict=True)}
    for picture in [p for row in (*ours, *theirs) for p in row]:
        assert area[picture.getpixel((0, 0))] == TILE * TILE
    for photo in learned:
        assert area[photo.getpixel((0, 0))] > 50 * 50
    # The avatars stand left of the pictures without the adapter, in the same rows.
    pixels = np.asarray(poster)
    for row in range(3):
        left = np.argwhere((pixels == ours[row][0].getpixel((0, 0))).all(-1)).mean(0)
        right = np.argwhere((pixels == theirs[row][0].getpixel((0, 0))).all(-1)).mean(0)
        assert left[0] == pytest.approx(right[0]) and left[1] < right[1]
