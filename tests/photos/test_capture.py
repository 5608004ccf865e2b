"""Guided capture: what a set lacks, who agreed, and boxes that travel with their photos."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from PIL import Image, ImageFilter
from skimage import data

from helpers.cloud.traces import traces_in
from helpers.errors import ConfigError, PhotoError
from helpers.photos import Box, Photo, load_folder, pack_request, prepare, read_request
from helpers.photos.capture import Capture
from helpers.photos.checklist import ANGLES, EXPRESSIONS, Shot, checklist
from helpers.photos.consent import record_consent, withdraw_consent
from helpers.photos.frames import from_shares, to_shares
from helpers.settings import ROOT, Settings
from tests.photos.pictures import arrows, astronaut, cat, coffee, encoded, with_secrets

FACE = Box(left=171, top=64, width=102, height=102)
WREN = ROOT / "data" / "subjects" / "wren"


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    settings = Settings(outputs=tmp_path / "outputs", state=tmp_path / "state")
    record_consent(settings, subject="me", given_by="Ada", purpose="a poster", days=3)
    return Capture(settings, subject="me", size=64, finder=lambda image: [FACE])


def the_same(count: int) -> list[Photo]:
    """So many different pictures with a face at one place."""
    return [
        Photo(name=f"{k}.jpg", image=Image.fromarray(data.astronaut()[:, :: (-1) ** k]).rotate(k))
        for k in range(count)
    ]


def test_a_full_set_passes_every_check_and_each_fault_fails_its_own() -> None:
    photos = list(load_folder(WREN / "instance"))
    shots = {
        photo.name: Shot(angle=ANGLES[k % 4], expression=EXPRESSIONS[k % 3])
        for k, photo in enumerate(photos)
    }
    middle = Box(left=160, top=160, width=220, height=220)

    def check(photos, shots=shots, find=lambda image: [middle]):
        return checklist(photos, prepare(photos, size=64, finder=find), shots)

    assert check(photos).done, check(photos)
    broken = {
        "count": lambda: check(photos[:9]),
        "angles": lambda: check(photos, {name: Shot(angle="front", expression=one.expression)
                                         for name, one in shots.items()}),
        "expressions": lambda: check(photos, {name: Shot(angle=one.angle)
                                              for name, one in shots.items()}),
        "heads": lambda: check(photos, find=lambda image: [] if image is photos[3].image
                               else [middle]),
        "face share": lambda: check(photos, find=lambda image: [
            Box(left=9, top=9, width=60, height=60)]),
        "size": lambda: check([*photos, Photo(name="s", image=coffee().resize((90, 60)))],
                              find=lambda image: [middle] if image.width > 90
                              else [Box(left=30, top=20, width=15, height=15)]),
        "blur": lambda: check([*photos, Photo(
            name="b", image=astronaut().filter(ImageFilter.GaussianBlur(6)))]),
        "light": lambda: check([*photos, Photo(
            name="d", image=cat().point([v // 6 for v in range(256)] * 3))]),
        "near-duplicates": lambda: check([*photos, Photo(name="again", image=photos[0].image)]),
    }  # fmt: skip
    for name, made in broken.items():
        found = made()
        assert name in [one.name for one in found.open], f"{name} went unnoticed"
        assert all(one.why and one.fix for one in found.open)
        assert found[name].fix in str(found) and "○\u00a0to\u00a0do" in found._repr_html_()


def test_angles_that_nobody_said_are_asked_for_and_missing_ones_named() -> None:
    photos = the_same(3)
    prepared = prepare(photos, size=64, finder=lambda image: [FACE])
    found = checklist(photos, prepared, {"0.jpg": Shot(angle="front"), "1.jpg": Shot(angle="left")})
    assert found["angles"].fix == "say of 1 which they are; add right, between"
    assert "angles" in [one.name for one in checklist(photos, prepared, person=False).open]
    for name in ("expressions", "heads", "face share"):
        with pytest.raises(StopIteration):
            checklist(photos, prepared, person=False)[name]
    with pytest.raises(PhotoError, match="upside is no angle"):
        Shot(angle="upside")


def test_drawn_profiles_that_the_cascade_misses_are_cut_around_the_head() -> None:
    """Boxes as the finder gives them for the frontal photos; the sides are missed."""
    usual = Box(left=110, top=152, width=276, height=276)
    photos = [*list(load_folder(WREN / "instance"))[:3], *load_folder(WREN / "sides")]
    prepared = prepare(
        photos, size=64, finder=lambda image: [usual] if image in known else [],
    ) if (known := [photo.image for photo in photos[:3]]) else []  # fmt: skip
    assert [item.how for item in prepared[:3]] == ["face"] * 3
    for item, head in zip(prepared[3:], ((265, 290), (225, 290)), strict=True):
        assert item.how in ("mask", "set") and item.box is not None
        assert abs(item.box.centre[0] - head[0]) < 90 and abs(item.box.centre[1] - head[1]) < 90
        assert any("no face found" in note for note in item.notes)


def test_a_head_off_the_middle_is_found_by_the_outline_or_the_set(monkeypatch) -> None:
    """Controls: shifted by a third, the outline follows; without OpenCV the set decides."""
    photos = the_same(3)
    image = astronaut()
    missed = Photo(name="missed", image=image)
    seen = [photo.image for photo in photos]

    def find(picture):
        return [FACE] if any(picture is one for one in seen) else []

    *_, item = prepare([*photos, missed], size=64, finder=find)
    assert item.how in ("mask", "set") and item.box is not None
    assert abs(item.box.centre[0] - FACE.centre[0]) < 0.5 * FACE.width
    monkeypatch.setattr("helpers.photos.missed.find_matte", lambda *given: None)
    *_, item = prepare([*photos, missed], size=64, finder=find)
    assert item.how == "set" and item.box == FACE
    *_, item = prepare([photos[0], missed], size=64, finder=find)
    assert item.how == "centre", "one face is no rule"
    assert prepare([missed], size=64, finder=find)[0].how == "centre"


def test_without_consent_nothing_comes_in_or_is_kept(capture: Capture, tmp_path: Path) -> None:
    other = Capture(capture.settings, subject="somebody", size=64)
    with pytest.raises(PhotoError, match="o consent to photos of somebody"):
        other.add(encoded(astronaut()), "a.png")
    with pytest.raises(PhotoError, match="o consent"):
        other.add_folder(WREN / "sides")
    capture.add(encoded(astronaut()), "a.png")
    withdraw_consent(capture.settings, "me")
    with pytest.raises(PhotoError, match="o consent to photos of me"):
        capture.save()
    assert not (tmp_path / "outputs").exists()
    mug = Capture(capture.settings, subject="mug", size=64, person=False)
    mug.add(encoded(coffee()), "a.png")
    assert mug.save() is not None, "a mug need not be asked"
    with pytest.raises(PhotoError, match="names a folder"):
        Capture(capture.settings, subject="../me", size=64)


def test_what_is_kept_has_no_metadata_and_its_box_reaches_the_trainer(
    capture: Capture, tmp_path: Path
) -> None:
    capture.add(with_secrets(), "Ich & du.JPG", angle="left", expression="smile")
    for k in range(4):
        capture.add(encoded(astronaut().rotate(3 * k)), "b.png")
    assert [photo.name for photo in capture.photos] == [
        "ich-du.jpg", "b.jpg", "b-2.jpg", "b-3.jpg", "b-4.jpg",
    ]  # fmt: skip
    framed = Box(left=100, top=40, width=200, height=220)
    capture.frame("b.jpg", framed)
    saved = capture.save()
    assert saved is not None
    folder, heldout = saved
    assert [photo.name for photo in load_folder(heldout)] == ["b-3.jpg"]
    for file in folder.glob("*.jpg"):
        assert not Image.open(file).getexif() and b"Secret" not in file.read_bytes()
    photos = load_folder(folder)
    request = pack_request(photos, tmp_path / "r.tar.gz", {"n_steps": 4}, longest_side=256)
    read = read_request(request.read_bytes())
    assert read.config == {"n_steps": 4}, "the box is no key of the trainer's"
    (there,) = [photo for photo in read.photos if photo.box]
    assert there.name == "b.jpg" and there.image.width == 256
    assert there.box == framed.scaled(0.5)
    prepared = prepare(read.photos, size=64, finder=lambda image: [])
    assert [item.how for item in prepared].count("given") == 1
    with tarfile.open(request) as archive:
        member = archive.extractfile("b.jpg")
        assert member is not None
        trace = traces_in("b.jpg", member.read())
    assert trace & traces_in("capture.json", (folder / "capture.json").read_bytes()) or (
        traces_in("b.jpg", (folder / "b.jpg").read_bytes())
        & traces_in("capture.json", (folder / "capture.json").read_bytes())
    ), "what is written beside the photos is forgotten with them"


def test_a_restart_finds_photos_words_boxes_and_what_was_put_aside(capture: Capture) -> None:
    for k in range(5):
        capture.add(encoded(astronaut().rotate(3 * k)), f"{k}.png", angle="left")
    framed = Box(left=100, top=40, width=200, height=220)
    capture.frame("1.jpg", framed)
    assert capture.save() is not None
    again = Capture(capture.settings, subject="me", size=64, finder=lambda image: [FACE])
    assert again.resume() and not again.resume()
    assert again.shots == capture.shots
    assert [photo.box for photo in again.photos if photo.name == "1.jpg"] == [framed]
    before = [photo.name for photo in load_folder(capture.save()[1])]  # type: ignore[index]
    assert [photo.name for photo in load_folder(again.save()[1])] == before  # type: ignore[index]
    withdraw_consent(capture.settings, "me")
    with pytest.raises(PhotoError, match="o consent"):
        Capture(capture.settings, subject="me", size=64).resume()


@pytest.mark.parametrize(
    "shares",
    [
        [0, 0, 1],
        "all",
        [0, 0, 2, 1],
        [-0.1, 0, 1, 1],
        [0, 0, 0, 1],
        [True, 0, 1, 1],
        [0, 0, 1e9, 1],
    ],
)
def test_boxes_of_strangers_are_read_with_care(shares, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="left, top, width and height"):
        from_shares(shares, (100, 50))
    photo = [Photo(name="a.jpg", image=arrows())]
    request = pack_request(photo, tmp_path / "r.tar.gz", {"boxes": {"a.jpg": shares}})
    with pytest.raises(ConfigError, match=r"oxes, a\.jpg"):
        read_request(request.read_bytes())
    (tmp_path / "a.jpg").write_bytes(encoded(arrows(), "JPEG"))
    (tmp_path / "capture.json").write_text('{"boxes": {"a.jpg": "all"}}')
    with pytest.raises(PhotoError, match=r"capture\.json"):
        load_folder(tmp_path)


def test_shares_lead_back_to_the_box_at_any_size() -> None:
    box = Box(left=-10, top=30, width=120, height=60)
    there = from_shares(to_shares(box, (200, 100)), (400, 200))
    assert there == Box(left=0, top=60, width=220, height=120)
