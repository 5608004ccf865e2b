"""Sheets: everything that was given is on them, whole, and can be read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.photos import Box, Photo, prepare
from helpers.ui.sheets import (
    CROP,
    FACE,
    MARGIN,
    PAPER,
    contact_sheet,
    fitted,
    font_of,
    grid,
    photo_sheet,
    wrapped,
)

COLOURS = [(200, 30, 30), (30, 160, 40), (40, 60, 200), (220, 200, 30), (150, 40, 160)]


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, colour)


def area(sheet: Image.Image, colour: tuple[int, ...], slack: int = 0) -> int:
    return int((np.abs(np.asarray(sheet, int) - colour).max(axis=2) <= slack).sum())


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 5),
    columns=st.none() | st.integers(1, 7),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    captions=st.none() | st.just(["a caption of several words that will have to be wrapped"] * 5),
)
def test_every_picture_is_on_the_sheet_whole(count, columns, size, captions):
    sheet = contact_sheet(
        [plain(colour, size) for colour in COLOURS[:count]],
        captions[:count] if captions else None,
        columns=columns,
        tile=80,
    )
    scale = 80 / max(size)
    expected = max(round(size[0] * scale), 1) * max(round(size[1] * scale), 1)
    assert [area(sheet, colour) for colour in COLOURS[:count]] == [expected] * count
    assert all(area(sheet, colour) == 0 for colour in COLOURS[count:])


def test_labels_are_drawn_beside_pictures_and_not_on_them():
    tiles = [[plain(colour) for colour in COLOURS[:2]], [plain(colour) for colour in COLOURS[2:4]]]
    bare, labelled = grid(tiles), grid(tiles, ["steps 50", "steps 800"], ["seed 1", "seed 2"])
    for colour in COLOURS[:4]:
        assert area(bare, colour) == area(labelled, colour) == 160 * 160
    assert labelled.width > bare.width and labelled.height > bare.height
    left = np.asarray(labelled, int)[:, MARGIN : MARGIN + 60].min(axis=(1, 2))
    rows = np.flatnonzero(left < 90)
    assert (rows < labelled.height / 2).any() and (rows > labelled.height / 2).any()


def test_missing_pictures_leave_their_place_empty():
    sheet = grid([[plain(COLOURS[0]), None, plain(COLOURS[1])], [plain(COLOURS[2])]], tile=50)
    assert [area(sheet, colour) for colour in COLOURS[:3]] == [2500] * 3
    assert sheet.size == grid([[plain(COLOURS[0])] * 3] * 2, tile=50).size


def test_small_pictures_are_enlarged_smoothly():
    checks = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    values = np.asarray(fitted(Image.fromarray(checks), 160).convert("L"))
    assert len(np.unique(values)) > 50  # nearest-neighbour would know black and white only
    assert np.abs(np.diff(values.astype(int), axis=1)).max() < 60


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.integers(40, 300), st.integers(1, 5))
def test_wrapped_text_fits_and_says_when_it_was_cut(text, width, most):
    font = font_of(13)
    lines = wrapped(text, font, width, most=most)
    assert len(lines) <= most
    assert all(font.getlength(line) <= width for line in lines)
    if not any("…" in line for line in lines):
        assert " ".join(lines) == " ".join(text.split())


def test_a_photo_is_shown_with_its_face_its_crop_and_its_picture():
    photos = [Photo(name=f"{k}.jpg", image=plain(COLOURS[k], (300, 200))) for k in range(2)]
    box = Box(left=140, top=60, width=40, height=40)
    prepared = prepare(photos, size=64, finder=lambda image: [box])
    sheet = photo_sheet(photos, prepared, tile=150)
    frames = 2 * (2 * 4 * 20)  # per photo a box of 20 pixels' side, two pixels wide
    assert area(sheet, FACE) > frames and area(sheet, CROP) > frames
    assert area(sheet, COLOURS[0]) > 150 * 150 and area(sheet, PAPER) > 0
    with pytest.raises(ValueError, match="same order"):
        photo_sheet(photos, prepared[::-1])


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="caption"):
        contact_sheet([plain(COLOURS[0])], ["one", "two"])
    with pytest.raises(ValueError, match="pictures"):
        contact_sheet([])
    with pytest.raises(ValueError, match="at least one picture"):
        grid([[]])
    with pytest.raises(ValueError, match="3 labels"):
        grid([[plain(COLOURS[0])]], ["a", "b", "c"])
