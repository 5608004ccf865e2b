"""Settings come from the environment, whole or not at all; errors say what to do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import errors
from helpers.errors import CourseError, SettingsError
from helpers.settings import ROOT, Settings


def test_nothing_set_means_this_machine() -> None:
    settings = Settings.from_environment({"PATH": "/bin"})
    assert settings == Settings()
    assert (settings.backend, settings.base_model, settings.fast) == ("local", "pocket", False)
    assert settings.outputs == ROOT / "outputs"


def test_every_field_has_its_variable(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "AVATAR_BACKEND": "aws",
            "AVATAR_BASE_MODEL": "sd21",
            "AVATAR_FAST": "1",
            "AVATAR_REGION": "eu-central-1",
            "AVATAR_LEARNER": "anna-2",
            "AVATAR_OUTPUTS": str(tmp_path / "a" / ".." / "pictures"),
            "AVATAR_STATE": str(tmp_path / "state"),
            "AVATAR_THREADS": "3",
            "AVATAR_ROLE_ARN": "arn:aws:iam::123456789012:role/service-role/course",
            "AVATAR_BUCKET": "avatar-anna-2-123456789012-eu-central-1",
            "AVATAR_HOURS": "1.5",
            "AVATAR_PRICES": str(tmp_path / "prices.json"),
        }
    )
    assert dataclasses.asdict(settings) == {
        "backend": "aws",
        "base_model": "sd21",
        "fast": True,
        "region": "eu-central-1",
        "learner": "anna-2",
        "outputs": tmp_path / "pictures",
        "state": tmp_path / "state",
        "threads": 3,
        "role_arn": "arn:aws:iam::123456789012:role/service-role/course",
        "bucket": "avatar-anna-2-123456789012-eu-central-1",
        "hours": 1.5,
        "prices": tmp_path / "prices.json",
    }


def test_an_empty_variable_is_none() -> None:
    empty = {f"AVATAR_{field.name.upper()}": " " for field in dataclasses.fields(Settings)}
    assert Settings.from_environment(empty) == Settings()


def test_a_misspelt_name_is_refused_and_the_right_ones_are_listed() -> None:
    with pytest.raises(SettingsError, match=r"unknown setting AVATAR_BACKED.*AVATAR_BACKEND"):
        Settings.from_environment({"AVATAR_BACKED": "aws"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AVATAR_BACKEND", "AWS"),
        ("AVATAR_FAST", "maybe"),
        ("AVATAR_THREADS", "many"),
        ("AVATAR_THREADS", "0"),
        ("AVATAR_THREADS", "1.5"),
        ("AVATAR_HOURS", "a day"),
        ("AVATAR_HOURS", "0"),
        ("AVATAR_HOURS", "nan"),
        ("AVATAR_HOURS", "1000"),
        ("AVATAR_LEARNER", "Anna"),
        ("AVATAR_LEARNER", "a/b"),
        ("AVATAR_LEARNER", "-a"),
        ("AVATAR_LEARNER", "a-"),
        ("AVATAR_LEARNER", "a--b"),
        ("AVATAR_LEARNER", "a" * 21),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({name: value})


@pytest.mark.parametrize("text", ["1", "true", "Yes", "ON", "0", "false", "No", "off"])
def test_switches_have_several_words(text: str) -> None:
    on = text.lower() in ("1", "true", "yes", "on")
    assert Settings.from_environment({"AVATAR_FAST": text}).fast is on


@given(st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True))
def test_plain_names_of_learners_are_kept(name: str) -> None:
    assert Settings.from_environment({"AVATAR_LEARNER": name}).learner == name


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().fast = True  # type: ignore[misc]


def test_an_error_says_what_why_and_what_next() -> None:
    error = CourseError("the disk is full", "3 GB are missing", "make room!")
    assert str(error) == "The disk is full. 3 GB are missing. Make room!"
    assert (error.what, error.why, error.next) == (
        "the disk is full",
        "3 GB are missing",
        "make room!",
    )
    assert str(CourseError("only this")) == "only this."


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, CourseError)
    }
    drawn = {
        line.strip("│├└─ ").split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if line.strip().startswith(("│", "├", "└", "CourseError"))
    }
    assert drawn == kinds
