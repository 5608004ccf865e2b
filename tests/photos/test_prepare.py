"""Preparing: every photo comes out, cut where it should be, without black bars, with its story."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from helpers.errors import PhotoError
from helpers.photos import Box, Photo, Refused, load_photo, prepare, report
from helpers.photos.crop import Square, around_box, around_face, at_centre, cut
from helpers.photos.matting import find_matte
from helpers.photos.quality import measure, twins
from tests.photos.pictures import astronaut, cat, coffee, encoded

FACE = Box(left=171, top=64, width=102, height=102)


def found(image: object) -> list[Box]:
    return [FACE]


def nothing(image: object) -> list[Box]:
    return []


def photo(image: Image.Image, name: str = "a.jpg") -> Photo:
    return Photo(name=name, image=image)


def test_face_given_box_and_centre_each_say_how_and_none_is_dropped():
    photos = [photo(astronaut(), "face"), photo(cat(), "given"), photo(coffee(), "neither")]
    box = Box(left=40, top=20, width=260, height=250)
    prepared = prepare(photos, size=64, boxes={"given": box})
    assert [(item.name, item.how) for item in prepared] == [
        ("face", "face"), ("given", "given"), ("neither", "centre"),
    ]  # fmt: skip
    assert all(item.image.size == (64, 64) and item.image.mode == "RGB" for item in prepared)
    assert prepared[1].box == box and prepared[2].box is None
    assert any("no face found" in note for note in prepared[2].notes)
    assert prepared[2].square == Square(left=100, top=0, side=400)


def test_a_given_box_wins_over_a_face_and_other_subjects_are_not_searched():
    def forbidden(image: object) -> list[Box]:
        raise AssertionError("no face was asked for")

    given_box = Box(left=300, top=300, width=150, height=100)
    (item,) = prepare([photo(astronaut())], size=64, boxes={"a.jpg": given_box}, finder=found)
    assert item.how == "given" and item.box == given_box
    (item,) = prepare([photo(astronaut())], size=64, face=False, finder=forbidden)
    assert item.how == "centre" and not any("face" in note for note in item.notes)


def test_the_largest_of_several_faces_wins_aloud():
    small = Box(left=10, top=10, width=60, height=60)
    (item,) = prepare([photo(astronaut())], size=64, finder=lambda image: [small, FACE])
    assert item.box == FACE and "2 faces found: the largest is used" in item.notes


def test_notes_of_loading_travel_on():
    loaded = load_photo(encoded(astronaut().convert("CMYK"), "JPEG"), "a.jpg")
    (item,) = prepare([loaded], size=64, finder=found)
    assert "converted from CMYK" in item.notes


sizes = st.tuples(st.integers(32, 700), st.integers(32, 700))
fractions = st.tuples(*[st.floats(0, 0.99)] * 4)


@settings(max_examples=80, deadline=None)
@given(size=sizes, parts=fractions, side=st.sampled_from([32, 64, 200]), kind=st.integers(0, 2))
def test_a_crop_is_full_and_has_no_bars_wherever_the_box_lies(size, parts, side, kind):
    width, height = size
    left, top = int(parts[0] * width), int(parts[1] * height)
    box = Box(
        left=left, top=top,
        width=max(int(parts[2] * (width - left)), 1), height=max(int(parts[3] * (height - top)), 1),
    )  # fmt: skip
    square = (around_face(box, size), around_box(box, size), at_centre(size))[kind]
    noise = np.random.default_rng(0).integers(150, 201, (height, width, 3), np.uint8)
    pixels = np.asarray(cut(Image.fromarray(noise), square, side))
    assert pixels.shape == (side, side, 3)
    assert pixels.min() >= 120 and pixels.max() <= 230  # only ringing may leave the range
    inside = 0 <= square.left <= width - square.side and 0 <= square.top <= height - square.side
    assert inside or square.side > min(size)
    if kind < 2:
        assert square.left <= box.centre[0] <= square.left + square.side
        assert square.top <= box.centre[1] <= square.top + square.side
    if kind == 1:
        assert square.left <= box.left and square.left + square.side >= box.right
        assert square.top <= box.top and square.top + square.side >= box.bottom


def test_a_square_beyond_the_photo_is_said():
    wide = Box(left=0, top=0, width=451, height=300)
    (item,) = prepare([photo(cat())], size=64, boxes={"a.jpg": wide})
    assert any("beyond the photo" in note for note in item.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image.filter(ImageFilter.GaussianBlur(4)), "blurred"),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.25), "dark"),
        (lambda image: Image.blend(image, Image.new("RGB", image.size, "white"), 0.8), "bright"),
        (lambda image: image.resize((60, 60)), "enlarged"),
    ],
)
def test_poor_photos_are_told_in_words_and_good_ones_are_not(change, words):
    whole = Box(left=0, top=0, width=9999, height=9999)
    good, poor = (
        prepare([photo(image)], size=256, boxes={"a.jpg": whole})[0]
        for image in (astronaut(), change(astronaut()))
    )
    assert good.notes == ()
    assert any(note.startswith(words) or words in note for note in poor.notes)


@pytest.mark.parametrize("picture", [astronaut(), cat(), coffee()])
def test_sharpness_falls_with_every_blur(picture):
    values = [
        measure(picture.filter(ImageFilter.GaussianBlur(radius)), enlargement=1).sharpness
        for radius in (0, 1.5, 3, 6)
    ]
    assert values == sorted(values, reverse=True) and values[0] > 2 * values[-1]


def test_twins_survive_re_encoding_and_different_pictures_are_none():
    again = load_photo(encoded(astronaut().resize((200, 200)), "JPEG", quality=40)).image
    pictures = [astronaut(), cat(), again, coffee(), ImageEnhance.Brightness(cat()).enhance(1.2)]
    assert twins(pictures, list("abcde")) == [None, None, "a", None, "b"]


def test_the_report_is_a_plain_table_with_every_photo_and_every_refusal():
    photos = [photo(astronaut(), "one.jpg"), photo(coffee(), "two.jpg")]
    prepared = prepare(photos, size=64, finder=lambda image: [FACE] if image.width == 512 else [])
    text = report(prepared, [Refused(name="three.heic", why="export it as JPEG")])
    assert text.startswith("2 photos prepared at 64 x 64 pixels: 1 by its face, 1 from the centre.")
    assert "three.heic: export it as JPEG" in text and "no face found" in text
    rows = text.splitlines()
    assert rows[2].split()[:2] == ["photo", "cut"] and rows[3].startswith("one.jpg")
    assert report([]) == "0 photos prepared."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photos": []}, "no photo"),
        ({"size": 8}, "8 pixels"),
        ({"background": "beach"}, "'beach'"),
        ({"boxes": {"b.jpg": FACE}}, "b.jpg"),
        ({"boxes": {"a.jpg": Box(left=600, top=0, width=50, height=50)}}, "512 x 512"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(PhotoError, match=words):
        prepare(**({"photos": [photo(astronaut())], "size": 64} | options))


def disc(background: str = "#3a6b35") -> Image.Image:
    """An orange ball in the middle of a green field with some grain."""
    image = Image.new("RGB", (256, 256), background)
    ImageDraw.Draw(image).ellipse((50, 50, 206, 206), "#e0761c")
    grain = np.random.default_rng(0).normal(0, 4, (256, 256, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def test_a_random_background_replaces_only_the_background():
    pytest.importorskip("cv2")
    subject = [photo(disc(), "ball.png")]
    options = {"size": 256, "face": False, "background": "random"}
    kept = np.asarray(prepare(subject, size=256, face=False)[0].image, int)
    one, same, other = (
        np.asarray(prepare(subject, seed=seed, **options)[0].image, int) for seed in (1, 1, 2)
    )
    middle, corner = np.s_[90:166, 90:166], np.s_[:30, :30]
    assert (one == same).all()
    assert np.abs(one - kept)[middle].max() == 0 and np.abs(one - kept)[corner].mean() > 10
    assert np.abs(one - other)[corner].mean() > 5


def test_the_matte_of_a_ball_is_the_ball():
    pytest.importorskip("cv2")
    matte = find_matte(disc(), None)
    assert matte is not None
    y, x = np.mgrid[:256, :256]
    ball = (x - 128) ** 2 + (y - 128) ** 2 < 78**2
    front = np.asarray(matte) > 127
    assert (front & ball).sum() / (front | ball).sum() > 0.9


def test_the_astronaut_is_cut_out_of_her_photo():
    pytest.importorskip("cv2")
    (item,) = prepare([photo(astronaut())], size=256, background="random", finder=found)
    assert "background replaced" in item.notes
    before = np.asarray(prepare([photo(astronaut())], size=256, finder=found)[0].image, int)
    after = np.asarray(item.image, int)
    assert np.abs(after - before)[90:130, 110:150].max() == 0
    assert np.abs(after - before)[:40, :20].mean() > 20


def test_an_uncertain_matte_leaves_the_photo_as_it_is():
    pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    for image in (Image.fromarray(noise), Image.new("RGB", (256, 256), "grey")):
        (item,) = prepare([photo(image)], size=256, face=False, background="random")
        assert any("background kept" in note for note in item.notes)
        assert (np.asarray(item.image) == np.asarray(image)).all()


def test_without_a_face_the_background_of_a_person_stays():
    (item,) = prepare([photo(disc())], size=64, background="random", finder=nothing)
    assert any("background kept" in note for note in item.notes)


def test_a_missing_opencv_is_a_note_not_an_end(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    (item,) = prepare([photo(disc())], size=64, face=False, background="random")
    assert any("OpenCV is not installed" in note for note in item.notes)
