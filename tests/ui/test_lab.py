"""The notebooks' notebook: what one writes down, the next reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from helpers.cloud.session import Cloud
from helpers.errors import CourseError
from helpers.settings import Settings
from helpers.ui.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("test", Settings(state=tmp_path / "state", fast=True))


def test_notes_outlive_the_kernel(lab: Lab) -> None:
    lab.keep(job="one", adapter="s3://b/a")
    lab.keep(job="two")
    again = Lab("another", lab.settings)
    assert again.kept("job", made_in="03") == "two"
    assert again.kept("adapter", made_in="03") == "s3://b/a"


def test_a_saved_picture_is_handed_back(tmp_path: Path) -> None:
    lab = Lab("test", Settings(outputs=tmp_path / "new" / "outputs"))
    picture = Image.new("RGB", (3, 2), "red")
    assert lab.save(picture, "red.png") is picture
    assert Image.open(tmp_path / "new" / "outputs" / "red.png").size == (3, 2)


def test_a_missing_note_names_the_notebook_that_makes_it(lab: Lab) -> None:
    with pytest.raises(CourseError, match="needs the target that 08_host_and_generate makes"):
        lab.kept("target", made_in="08_host_and_generate")


def test_learners_and_backends_do_not_read_each_other(lab: Lab) -> None:
    lab.keep(job="mine")
    neighbour = Lab("test", Settings(state=lab.settings.state, learner="other"))
    with pytest.raises(CourseError):
        neighbour.kept("job", made_in="03")


def test_forget_and_a_damaged_file_are_a_fresh_start(lab: Lab) -> None:
    lab.keep(job="one")
    lab.forget()
    with pytest.raises(CourseError):
        lab.kept("job", made_in="03")
    lab.keep(job="one")
    next(lab.settings.state.glob("notes-*.json")).write_text('{"job": ')
    with pytest.raises(CourseError):
        lab.kept("job", made_in="03")


def test_pick_follows_the_rehearsal_switch(lab: Lab) -> None:
    assert lab.pick(300, fast=4) == 4
    assert Lab("test", Settings()).pick(300, fast=4) == 300


def test_another_base_is_not_silently_the_pocket(tmp_path: Path) -> None:
    lab = Lab("test", Settings(state=tmp_path, base_model="stabilityai/stable-diffusion-2-1-base"))
    with pytest.raises(CourseError, match="not on this machine"):
        _ = lab.base


def test_a_notebook_hears_estimates_and_closes_with_what_runs(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Lab("test", replace(cloud.settings, learner="nobody-else"))
    lab.cloud.announce("it will cost $1")
    assert capsys.readouterr().out == "it will cost $1\n"
    print(lab.running())
    assert capsys.readouterr().out == "Nothing is running.\n"
    lab.ledger.planned("endpoint", "gone", price_per_hour=2.0)
    assert str(lab.running()) == "Nothing is running.", "the ledger's word alone is not enough"
    assert "gone" in str(lab.bill())
