"""In a browser: photos are uploaded, looked at and framed, and become a painted avatar."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from helpers.photos.consent import require_consent
from helpers.photos.load import load_folder
from helpers.settings import ROOT
from tests.browser.journey import agree, fine_tune, paint, photograph, upload
from tests.browser.jupyter import WAIT_S, Desk
from tests.photos.pictures import coffee

expect.set_options(timeout=WAIT_S * 1000)
pytestmark = [pytest.mark.browser, pytest.mark.slow]

SUBJECTS = ROOT / "data" / "subjects"
SIDE = 64


def test_two_photos_are_uploaded_looked_at_and_one_is_framed(desk: Desk, tmp_path: Path) -> None:
    cup = tmp_path / "A cup.PNG"
    coffee().save(cup)
    noise = Image.effect_noise((2600, 2600), 90).convert("RGB")  # 12 MB: above Jupyter's own limit
    large = tmp_path / "large.bmp"
    noise.save(large)
    assert large.stat().st_size > 12_000_000

    notebook = desk.open("02_prepare_photos.ipynb")
    form = notebook.run('start("02', "guided_capture").locator(".jp-OutputArea-output")
    button = form.get_by_role("button", name="Add photos")
    expect(button).to_be_disabled()
    agree(form, "Ada")
    expect(button).to_be_enabled()
    consent = require_consent(desk.settings, "me")
    assert consent.given_by == "Ada" and consent.purpose == "an avatar in this course"

    pictures = form.locator("figure img")
    upload(form, SUBJECTS / "astronaut" / "instance" / "astronaut_01.jpg")
    expect(pictures).to_have_count(1)
    upload(form, cup, large)
    expect(pictures).to_have_count(3)
    assert "front, neutral; cut by its face" in (pictures.first.get_attribute("alt") or "")
    expect(form.locator("table")).to_contain_text("3 of 10 to 12")

    expect(form.get_by_label("photo", exact=True)).to_have_value("a-cup.jpg")
    form.get_by_role("slider").nth(1).focus()
    for _ in range(20):
        desk.page.keyboard.press("ArrowLeft")
    notebook.shot(desk.shots / "02_form_before.png", form.first)
    form.get_by_role("button", name="Use this box").click()
    expect(form.locator("figure", has_text="a-cup.jpg")).to_contain_text("cut by a given box")
    notebook.shot(desk.shots / "02_form.png", form.first)

    notebook.run("form.capture.save()", "lab.keep(photos")
    saved = load_folder(desk.settings.outputs / "photos" / "me" / "photos")
    assert [photo.name for photo in saved] == ["a-cup.jpg", "astronaut_01.jpg", "large.jpg"]
    (framed,) = [photo for photo in saved if photo.box]
    assert framed.name == "a-cup.jpg" and framed.box is not None
    assert framed.box.width < 0.9 * coffee().height
    about = json.loads((desk.settings.outputs / "photos/me/photos/capture.json").read_text())
    assert list(about["boxes"]) == ["a-cup.jpg"]


def test_uploaded_photos_become_an_avatar_that_is_painted_from_words(desk: Desk) -> None:
    photograph(desk, sorted((SUBJECTS / "astronaut" / "instance").glob("*.jpg"))[:5])
    fine_tune(desk)
    form = paint(desk, "a photo of a <<TOK>> person in the snow")
    picture = form.locator("img").first
    expect(picture).to_be_visible()
    sides = picture.evaluate("one => [one.naturalWidth, one.naturalHeight]")
    assert sides == [SIDE, SIDE]
    assert "in the snow; me, seed 2" in (picture.get_attribute("alt") or "")
