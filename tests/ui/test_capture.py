"""The form does what its code-only twin does, and tells every refusal without breaking."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from traitlets.utils.bunch import Bunch

from helpers.photos.consent import require_consent
from helpers.photos.faces import Box
from helpers.settings import Settings
from helpers.ui import capture as module
from helpers.ui.capture import guided_capture
from helpers.ui.lab import Lab
from tests.photos.pictures import astronaut, cat, encoded

FACE = Box(left=171, top=64, width=102, height=102)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    settings = Settings(outputs=tmp_path / "outputs", state=tmp_path / "state")
    return cast(Lab, SimpleNamespace(settings=settings, base=SimpleNamespace(resolution=64)))


@pytest.fixture
def form(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = module.Capture

    def quick(*given: Any, **named: Any) -> Any:
        return made(*given, **named, finder=lambda image: [FACE] if image.width == 512 else [])

    monkeypatch.setattr(module, "Capture", quick)
    return guided_capture(lab, subject="me")


def agree(form: Any) -> None:
    form.who.value, form.agreed.value = "Ada", True
    form.record.click()


def upload(form: Any, *named: tuple[str, bytes]) -> None:
    """As the browser sends them."""
    now = datetime.now(UTC)
    form.files.value = tuple(
        Bunch(
            name=name, type="image/*", size=len(data), last_modified=now, content=memoryview(data)
        )
        for name, data in named
    )


def test_nothing_comes_in_before_a_consent_with_purpose_and_end(form: Any, lab: Lab) -> None:
    assert form.files.disabled
    upload(form, ("a.png", encoded(astronaut())))
    assert form.capture.photos == [] and "No consent" in form.said.value
    form.record.click()
    assert form.files.disabled and "Tick the box" in form.said.value
    form.agreed.value = True
    form.record.click()
    assert form.files.disabled and "given_by" in form.said.value
    form.days.value = 7
    agree(form)
    assert not form.files.disabled
    consent = require_consent(lab.settings, "me")
    assert consent.given_by == "Ada" and consent.purpose and consent.until > consent.recorded


def test_photos_come_in_with_their_words_and_the_next_one_wanted_is_proposed(form: Any) -> None:
    agree(form)
    assert (form.angle.value, form.expression.value) == ("front", "neutral")
    upload(form, ("a.png", encoded(astronaut())))
    assert (form.angle.value, form.expression.value) == ("left", "smile")
    upload(form, ("b.jpg", encoded(cat(), "JPEG")), ("<b>.jpg", b"no picture"))
    assert [photo.name for photo in form.capture.photos] == ["a.jpg", "b.jpg"]
    assert "cannot be used" in form.said.value and "<b>" not in form.said.value
    assert str(form.capture.shots["a.jpg"]) == "front, neutral"
    assert str(form.capture.shots["b.jpg"]) == "not said"
    assert form.gallery.value.count('alt="') == 2 and "by its face" in form.gallery.value
    assert "2 of 10" in form.checks.value


def test_a_missed_head_is_framed_and_a_photo_left_out(form: Any) -> None:
    agree(form)
    upload(form, ("a.png", encoded(astronaut())), ("b.png", encoded(cat())))
    assert form.photo.value == "b.jpg", "what was missed is proposed"
    form.across.value, form.down.value = (20, 60), (10, 80)
    form.use.click()
    assert form.capture.prepared[1].how == "given" and "given box" in form.gallery.value
    assert form.capture.photos[1].box == Box(left=90, top=30, width=180, height=210)
    form.back.click()
    assert form.capture.prepared[1].how == "centre"
    form.across.value = (40, 40)
    form.use.click()
    assert "less than 8 x 8" in form.said.value and form.capture.photos[1].box is None
    form.leave.click()
    assert list(form.photo.options) == ["a.jpg"] == [one.name for one in form.capture.photos]


def test_looking_at_another_photo_changes_no_words(form: Any) -> None:
    agree(form)
    for name in ("a.png", "b.png"):
        upload(form, (name, encoded(astronaut())))
    before = dict(form.capture.shots)
    for name in ("a.jpg", "b.jpg", "a.jpg"):
        form.photo.value = name
    assert form.capture.shots == before
    form.is_expression.value = "frown"
    assert str(form.capture.shots["a.jpg"]) == "front, frown"
    assert form.capture.shots["b.jpg"] == before["b.jpg"]
