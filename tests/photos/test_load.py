"""Loading: usable but odd pictures are converted aloud, unusable ones refused by name."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from helpers.errors import PhotoError
from helpers.photos.load import load_folder, load_photo
from helpers.settings import ROOT
from tests.photos.pictures import arrows, astronaut, encoded, png_16_bit, with_secrets

GREY_RAMP = np.linspace(0, 1, 64)[None].repeat(40, axis=0)


def shades(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)[20, :, 0]


def test_exif_turns_the_photo_and_then_goes():
    photo = load_photo(with_secrets(), "IMG_1.JPG")
    assert photo.image.size == (64, 96) and photo.image.mode == "RGB"
    red, green = photo.image.getpixel((58, 5)), photo.image.getpixel((58, 90))
    assert red[0] > 200 > red[1] and green[1] > 100 > green[0]
    assert photo.notes == ("rotated upright from EXIF",)
    assert not photo.image.info and not dict(photo.image.getexif())


def test_an_ordinary_photo_has_no_notes():
    for data in (encoded(arrows(), "JPEG"), encoded(arrows()), encoded(arrows(), "WEBP")):
        assert load_photo(data).notes == ()


def test_cmyk_keeps_its_colours():
    photo = load_photo(encoded(arrows().convert("CMYK"), "JPEG", quality=95))
    assert "converted from CMYK" in photo.notes
    red = photo.image.getpixel((8, 8))
    assert red[0] > 200 and max(red[1:]) < 60


@pytest.mark.parametrize("peak", [4095, 65535])
def test_sixteen_bit_grey_keeps_its_range(peak):
    photo = load_photo(png_16_bit((GREY_RAMP * peak).astype(np.uint16)))
    assert "16 bits" in photo.notes[0]
    assert np.abs(shades(photo.image) - np.linspace(0, 255, 64)).max() <= 2


def test_sixteen_bit_colour_is_noticed_though_the_decoder_hides_it():
    values = (GREY_RAMP[..., None] * [65535, 30000, 0]).astype(np.uint16)
    photo = load_photo(png_16_bit(values))
    assert photo.notes == ("reduced from 16 to 8 bits a channel",)
    assert np.abs(shades(photo.image) - np.linspace(0, 255, 64)).max() <= 2


def test_float_and_long_pictures_are_scaled():
    for values in (GREY_RAMP.astype(np.float32), (GREY_RAMP * 70000).astype(np.int32)):
        photo = load_photo(encoded(Image.fromarray(values), "TIFF"))
        assert np.abs(shades(photo.image) - np.linspace(0, 255, 64)).max() <= 2


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_used(format):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "green")]
    photo = load_photo(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    assert any("animated" in note for note in photo.notes)
    red = photo.image.getpixel((20, 20))
    assert red[0] > 200 and max(red[1:]) < 60


def test_a_phone_s_multi_picture_jpeg_is_no_animation():
    data = encoded(arrows(), "MPO", save_all=True, append_images=[arrows()])
    assert load_photo(data).notes == ()


def test_transparent_parts_become_white():
    image = arrows().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    photo = load_photo(encoded(image))
    assert photo.notes == ("transparent parts filled with white",)
    assert photo.image.getextrema() == ((255, 255),) * 3
    opaque = arrows().convert("RGBA")
    assert load_photo(encoded(opaque)).notes == ()


def test_palettes_and_grey_are_named():
    palette = load_photo(encoded(arrows().convert("P"), "GIF"))
    assert any("palette" in note for note in palette.notes)
    assert any("grey" in note for note in load_photo(encoded(arrows().convert("L"))).notes)
    assert any("grey" in note for note in load_photo(encoded(arrows().convert("1"))).notes)


def test_a_wide_colour_profile_is_applied_not_dropped():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = lab.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    photo = load_photo(encoded(arrows(), icc_profile=renamed.replace(b"sRGB", b"wide")))
    assert photo.notes == ()
    assert np.abs(np.asarray(photo.image, int) - np.asarray(arrows(), int)).max() <= 2
    damaged = load_photo(encoded(arrows(), icc_profile=b"nonsense"))
    assert any("profile" in note for note in damaged.notes)


def test_large_photos_are_bounded():
    photo = load_photo(encoded(arrows(600, 400), "JPEG"), longest_side=300)
    assert photo.image.size == (300, 200)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"not a picture", "not a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        (encoded(astronaut(), "JPEG")[:9000], "truncated"),
        (encoded(astronaut())[:90000], "truncated"),
        (encoded(arrows(31, 400)), "too few"),
        (encoded(Image.new("1", (10_000, 10_000))), "million pixels"),
        (encoded(Image.new("1", (14_000, 14_000))), "million pixels"),
    ],
)
def test_unusable_pictures_are_refused_by_name(data, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PhotoError, match=r"holiday\.jpg") as caught:
            load_photo(data, "holiday.jpg")
    assert words in str(caught.value) and caught.value.next


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB", "YCbCr"]


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    size=st.tuples(st.integers(32, 90), st.integers(32, 90)),
    seed=st.integers(0, 999),
    orientation=st.integers(0, 9),
)
def test_every_mode_becomes_rgb_of_the_same_size(mode, size, seed, orientation):
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    rgb = Image.fromarray(noise)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    elif mode == "LAB":
        srgb = ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(
            rgb, srgb, ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    else:
        image = rgb.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = load_photo(encoded(image, "TIFF", exif=exif))
    turned = orientation in (5, 6, 7, 8)
    assert photo.image.mode == "RGB"
    assert photo.image.size == (size[::-1] if turned else size)
    assert photo.notes or mode in ("RGB", "RGBA")


WHOLE = {name: encoded(arrows(64, 64), name) for name in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")}


@settings(max_examples=250, deadline=None)
@given(
    name=st.sampled_from(sorted(WHOLE)),
    hits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    keep=st.floats(0.01, 1),
)
def test_damage_gives_a_photo_or_a_photo_error(name, hits, keep):
    data = bytearray(WHOLE[name])
    for where, value in hits:
        data[int(where * len(data))] = value
    try:
        photo = load_photo(bytes(data[: max(int(keep * len(data)), 1)]), "x")
    except PhotoError:
        return
    assert photo.image.mode == "RGB" and min(photo.image.size) >= 32


def test_a_folder_lists_photos_by_name_and_says_what_it_could_not_use(tmp_path):
    for name in ("b.JPG", "a.jpeg", "c.Png"):
        (tmp_path / name).write_bytes(encoded(arrows(), "JPEG"))
    (tmp_path / "d.jpg").write_bytes(b"broken")
    (tmp_path / "e.HEIC").write_bytes(b"apple")
    (tmp_path / "notes.txt").write_text("of no concern")
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    photos = load_folder(tmp_path)
    assert [photo.name for photo in photos] == ["a.jpeg", "b.JPG", "c.Png"]
    assert [item.name for item in photos.refused] == ["d.jpg", "e.HEIC"]
    assert "JPEG" in str(photos.refused[1])


def test_a_folder_without_a_usable_photo_says_why(tmp_path):
    with pytest.raises(PhotoError, match="no folder"):
        load_folder(tmp_path / "none")
    with pytest.raises(PhotoError, match=r"no \.jpg"):
        load_folder(tmp_path)
    (tmp_path / "only.png").write_bytes(b"broken")
    with pytest.raises(PhotoError, match=r"only\.png"):
        load_folder(tmp_path)


def test_loading_opens_no_file_for_long(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(arrows()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        photo = load_photo(path)
    assert photo.name == "a.png"
    photo.image.save(io.BytesIO(), "JPEG")


def test_importing_the_room_is_light():
    script = "import sys, helpers.photos; print({'cv2', 'skimage', 'torch'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT
    )
    assert result.stdout.strip() == "set()", result.stderr


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_every_format_is_known_to_a_fresh_process(tmp_path, format):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(arrows(), format))
    script = (
        "import sys; from pathlib import Path; from helpers.photos import load_photo;"
        "print(load_photo(Path(sys.argv[1])).image.size)"
    )
    command = [sys.executable, "-c", script, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "(96, 64)", result.stderr
