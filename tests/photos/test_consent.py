"""Consent: written down as typed, for one subject, until a day; nothing else in the file."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import PhotoError
from helpers.jsonl import append_line
from helpers.photos.consent import (
    CONSENTS,
    consents,
    record_consent,
    require_consent,
    withdraw_consent,
)
from helpers.settings import Settings
from helpers.ui.lab import Lab


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state")


def test_a_consent_is_kept_for_the_next_notebook_and_holds_only_what_was_typed(
    settings: Settings,
) -> None:
    given = Lab("00_start", settings).consent(
        subject="wren", given_by="Wren", purpose="learning", days=7
    )
    assert Lab("02", settings).require_consent("wren") == given
    (line,) = [json.loads(text) for text in (settings.state / CONSENTS).read_text().split("\n")
               if text]  # fmt: skip
    today = datetime.now(UTC).date()
    assert line == {
        "event": "given", "subject": "wren", "given_by": "Wren", "purpose": "learning",
        "recorded": today.isoformat(), "until": (today + timedelta(days=7)).isoformat(),
    }  # fmt: skip
    assert (settings.state / CONSENTS).stat().st_mode & 0o777 == 0o600
    assert "Wren agreed" in str(given)


def test_without_one_the_way_to_one_is_shown(settings: Settings) -> None:
    record_consent(settings, subject="wren", given_by="Wren", purpose="learning")
    with pytest.raises(PhotoError, match=r"photos of doppler .* lab\.consent"):
        require_consent(settings, "doppler")


def test_a_withdrawn_consent_holds_no_more_and_a_new_one_does(settings: Settings) -> None:
    for purpose in ("learning", "a poster"):
        record_consent(settings, subject="wren", given_by="Wren", purpose=purpose)
        assert require_consent(settings, "wren").purpose == purpose
    withdraw_consent(settings, "wren")
    with pytest.raises(PhotoError):
        require_consent(settings, "wren")
    record_consent(settings, subject="wren", given_by="Wren", purpose="again")
    assert [found.purpose for found in consents(settings)] == ["again"]


@given(days_left=st.integers(-3, 3))
def test_it_holds_up_to_its_last_day(
    days_left: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = Settings(state=tmp_path_factory.mktemp("state"))
    until: date = datetime.now(UTC).date() + timedelta(days=days_left)
    line = {"subject": "s", "given_by": "g", "purpose": "p", "recorded": "2026-01-01"}
    append_line(settings.state / CONSENTS, {"event": "given", **line, "until": until.isoformat()})
    assert bool(consents(settings)) is (days_left >= 0)


@pytest.mark.parametrize("missing", ["subject", "given_by", "purpose"])
def test_half_a_consent_is_refused_by_what_it_lacks(settings: Settings, missing: str) -> None:
    words = {"subject": "wren", "given_by": "Wren", "purpose": "learning", missing: "  "}
    with pytest.raises(PhotoError, match=missing):
        record_consent(settings, **words)
    assert consents(settings) == []


@pytest.mark.parametrize("days", [0, -1, 366])
def test_for_ever_is_not_a_time(settings: Settings, days: int) -> None:
    with pytest.raises(PhotoError, match="1 to 365"):
        record_consent(settings, subject="r", given_by="R", purpose="p", days=days)
