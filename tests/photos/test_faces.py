"""Faces: the astronaut's is found at any size and tilt; cups, cats and plain walls have none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import skimage
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from skimage import data

from helpers.photos.faces import Box, find_face, find_faces
from tests.photos.pictures import Picture, astronaut, cat, coffee

CENTRE, WIDTH = (222, 115), 102


def near(box: Box | None, x: float, y: float, width: float) -> bool:
    return (
        box is not None
        and math.dist(box.centre, (x, y)) < 0.2 * width
        and 0.75 < box.width / width < 1.3
    )


def test_the_cascade_is_on_this_machine_already():
    path = Path(data.lbp_frontal_face_cascade_filename())
    assert path.is_relative_to(Path(skimage.__file__).parent) and path.is_file()


@pytest.mark.parametrize("scale", [0.125, 0.25, 1, 3])
def test_the_box_is_in_pixels_of_the_picture_at_any_size(scale):
    side = round(512 * scale)
    face = find_face(astronaut().resize((side, side), Image.Resampling.LANCZOS))
    assert near(face, CENTRE[0] * scale, CENTRE[1] * scale, WIDTH * scale)


@pytest.mark.parametrize("tilt", [-30, -20, 12, 25])
def test_a_tilted_head_is_found_where_it_is(tilt):
    tilted = astronaut().rotate(tilt, Image.Resampling.BICUBIC, fillcolor=(120, 110, 100))
    turn = math.radians(tilt)
    x, y = CENTRE[0] - 256, CENTRE[1] - 256
    x, y = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    assert near(find_face(tilted), x + 256, y + 256, WIDTH)


def test_the_largest_of_several_faces_comes_first():
    pair = Image.new("RGB", (1000, 512), "grey")
    pair.paste(ImageOps.mirror(astronaut()).resize((380, 380)), (0, 90))
    pair.paste(astronaut(), (420, 0))
    faces = find_faces(pair)
    assert len(faces) == 2
    assert near(faces[0], 420 + CENTRE[0], CENTRE[1], WIDTH)
    assert near(faces[1], 380 * (1 - 222 / 512), 90 + 115 * 380 / 512, WIDTH * 380 / 512)


@pytest.mark.parametrize("picture", [cat(), coffee(), Image.new("RGB", (300, 200), "black")])
def test_no_face_is_seen_where_none_is(picture: Picture):
    assert find_face(picture) is None


def test_strange_shapes_are_searched_without_fuss():
    for size in ((2000, 32), (32, 900), (33, 33)):
        noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        assert find_face(Image.fromarray(noise)) is None


edges = st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 60), st.integers(1, 60)
boxes = st.builds(lambda x, y, w, h: Box(left=x, top=y, width=w, height=h), *edges)


@given(boxes, boxes)
def test_overlap_is_a_likeness(one, other):
    assert one.overlap(one) == 1
    assert one.overlap(other) == other.overlap(one)
    assert 0 <= one.overlap(other) <= 1
