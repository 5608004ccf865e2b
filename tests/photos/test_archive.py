"""The request archive: what a learner packs is what the container reads, less what is private."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.archives import pack, read_members
from helpers.errors import ArchiveError, ConfigError, PhotoError
from helpers.photos import Photo, load_photo, pack_request, read_request
from helpers.photos.archive import server_names
from tests.photos.pictures import arrows, astronaut, encoded, with_secrets

GOOD = encoded(arrows(), "JPEG")


def request(tmp_path, **members: bytes) -> bytes:
    """A request archive; in names, two underscores stand for a dot."""
    named = {name.replace("__", "."): content for name, content in members.items()}
    return pack(named, tmp_path / "r.tar.gz").read_bytes()


def test_a_request_comes_back_smaller_and_with_its_configuration(tmp_path):
    config = {"n_steps": 400, "concept_prompt": "photo of <<TOK>> ☺", "fp16": False}
    photos = [
        Photo(name="Me at the sea.JPG", image=astronaut().resize((1500, 1000))),
        Photo(name="me-at-the-sea.png", image=arrows()),
    ]
    path = pack_request(photos, tmp_path / "r.tar.gz", config, longest_side=600)
    back = read_request(path.read_bytes())
    assert back.config == config and back.warnings == ()
    assert [item.name for item in back.photos] == ["me-at-the-sea-2.jpg", "me-at-the-sea.jpg"]
    sizes = {item.name: item.image.size for item in back.photos}
    assert sizes == {"me-at-the-sea.jpg": (600, 400), "me-at-the-sea-2.jpg": (96, 64)}
    difference = np.asarray(back.photos[0].image, int) - np.asarray(arrows(), int)
    assert np.abs(difference).mean() < 6
    again = pack_request(photos, tmp_path / "s.tar.gz", config, longest_side=600)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.promise(
    "Where and when a photo was taken stays at home",
    fault="EXIF and comments with secrets",
    outcome="none of it in the request",
)
def test_nothing_private_travels(tmp_path):
    photo = load_photo(with_secrets(), "IMG_1.jpg")
    smuggled = Photo(name="IMG_2.jpg", image=arrows())
    smuggled.image.info.update(exif=b"Exif\0\0SecretExif", comment=b"SecretComment")
    path = pack_request([photo, smuggled], tmp_path / "r.tar.gz")
    for content in read_members(path).values():
        assert b"Secret" not in content and b"Exif" not in content
    assert read_request(path.read_bytes()).photos[0].image.size == (64, 96)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=90), max_size=12))
def test_names_in_the_archive_suit_any_server(names):
    given_names = server_names(names)
    assert len(set(given_names)) == len(names)
    for name in given_names:
        assert re.fullmatch(r"[a-z0-9_][a-z0-9_-]*\.jpg", name) and len(name) < 80


def test_photos_of_every_suffix_and_case_are_read(tmp_path):
    data = request(tmp_path, a__JPG=GOOD, b__jpeg=GOOD, c__PNG=encoded(arrows()), d__Jpg=GOOD)
    assert [photo.name for photo in read_request(data).photos] == [
        "a.JPG",
        "b.jpeg",
        "c.PNG",
        "d.Jpg",
    ]
    assert read_request(data).config == {}


def test_an_archive_that_is_not_gzipped_is_read_as_the_original_sent_it(tmp_path):
    path = pack({"jw01.jpg": GOOD}, tmp_path / "jw.tar.gz", compress=False)
    assert [photo.name for photo in read_request(path.read_bytes()).photos] == ["jw01.jpg"]


def test_what_cannot_be_used_is_told_and_the_rest_is_used(tmp_path):
    data = pack(
        {
            "good.jpg": GOOD, "cut.jpg": GOOD[:500], "deep/in.jpg": GOOD, "a.heic": b"x",
            "Config.json": b"{}", "readme.txt": b"x", "._good.jpg": b"mac", ".DS_Store": b"mac",
            "__MACOSX/._good.jpg": b"mac",
        },
        tmp_path / "r.tar.gz",
    ).read_bytes()  # fmt: skip
    read = read_request(data)
    assert [photo.name for photo in read.photos] == ["good.jpg"]
    told = {item.name for item in read.photos.refused}
    assert told == {"cut.jpg", "deep/in.jpg", "a.heic", "Config.json", "readme.txt"}
    assert len(read.warnings) == 5 and all("not used" in warning for warning in read.warnings)


def hostile() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        info = tarfile.TarInfo("../../up.jpg")
        info.size = len(GOOD)
        tar.addfile(info, io.BytesIO(GOOD))
    return raw.getvalue()


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", ArchiveError, "empty"),
        (GOOD, ArchiveError, "not a .tar.gz"),
        (gzip.compress(bytes(10240)), ArchiveError, "empty"),
        (hostile(), ArchiveError, r"\.\./\.\./up\.jpg"),
    ],
    # Not by content: gzip writes the time, and two processes must find the same tests.
    ids=["nothing", "a picture", "no members", "path outside"],
)
def test_bad_archives_are_refused(data, error, words):
    with pytest.raises(error, match=words):
        read_request(data)


def test_no_usable_photo_says_what_was_wrong_with_each(tmp_path):
    with pytest.raises(PhotoError, match=r"cut\.jpg: it is truncated"):
        read_request(request(tmp_path, cut__jpg=GOOD[:500], config__json=b"{}"))
    with pytest.raises(PhotoError, match=r"folder"):
        read_request(pack({"d/a.jpg": GOOD}, tmp_path / "x.tar.gz").read_bytes())
    with pytest.raises(PhotoError, match=r"(?i)no usable photo"):
        read_request(request(tmp_path, config__json=b"{}"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1"),
        (b'{"n_steps": 400,}', "line 1, column"),
        (b"[1, 2]", "list"),
        (b"null", "null"),
        (b'"text"', "text"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"n_steps": 1, "n_steps": 2}', "'n_steps' is there twice"),
        (b'{"learning_rate": NaN}', "NaN"),
        (b'{"n_steps": ' + b"9" * 9000 + b"}", "not usable"),
        (b"[" * 100_000, "not usable|not JSON"),
        (b" " * 2_000_000, "1 MiB"),
    ],
)
def test_a_bad_configuration_is_named(tmp_path, content, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_request(request(tmp_path, a__jpg=GOOD, config__json=content))
    assert "config.json" in str(caught.value)


def test_a_configuration_with_a_byte_order_mark_is_read(tmp_path):
    content = b"\xef\xbb\xbf" + json.dumps({"seed": 1}).encode()
    assert read_request(request(tmp_path, a__jpg=GOOD, config__json=content)).config == {"seed": 1}


def test_packing_refuses_nothing_too_much_and_no_json(tmp_path):
    photo = Photo(name="a", image=arrows())
    with pytest.raises(PhotoError, match="no photo"):
        pack_request([], tmp_path / "r.tar.gz")
    with pytest.raises(PhotoError, match="too many"):
        pack_request([photo] * 101, tmp_path / "r.tar.gz")
    with pytest.raises(ConfigError, match="JSON"):
        pack_request([photo], tmp_path / "r.tar.gz", {"base": object()})
    assert not list(tmp_path.iterdir())
