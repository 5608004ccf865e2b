"""Every lie of the table: refused in words that help, and the next who knocks is served."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from helpers.errors import CourseError
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from tests.hostile.cases import CASES, SECRET, Case
from tests.hostile.doors import DOORS, Door

LONGEST_MESSAGE = 1500


def knocked(door: Door, material: Any, room: Path) -> CourseError | None:
    """The refusal, its words checked, or ``None`` where the material was served."""
    try:
        door.knock(material, room / "room")
    except CourseError as refusal:
        said = str(refusal)
        assert refusal.next, f"it does not say what to do: {said}"
        assert said.isprintable() and len(said) <= LONGEST_MESSAGE
        assert str(room) not in said
        if door.silent:
            assert SECRET not in said and refusal.__cause__ is None
            assert not any(words in said for words in OUT_OF_MEMORY_WORDS)
        return refusal
    return None


@pytest.mark.promise(
    "Bad input is refused in words that name it and say what to do",
    fault="the lies of the table below",
    outcome="one error of the course's, printable and short; the next good request is served",
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.door}: {case.name}")
def test_a_lie_is_refused_and_the_next_is_served(case: Case, tmp_path: Path) -> None:
    door = DOORS[case.door]
    with pytest.raises(CourseError, match=f"(?is){case.names}") as caught:
        refusal = knocked(door, case.make(), tmp_path / "refused")
        raise refusal or AssertionError("it was served")
    assert type(caught.value) is case.error
    assert door.knock(door.good, tmp_path / "served")


def test_the_table_is_whole() -> None:
    assert len(CASES) >= 60
    assert {case.door for case in CASES} == set(DOORS)
    doubled = [
        name for name, count in Counter((c.door, c.name) for c in CASES).items() if count > 1
    ]
    assert doubled == []


@pytest.mark.promise(
    "A refused archive leaves nothing behind",
    fault="each unsafe archive of the table",
    outcome="no file, no folder",
)
def test_a_refused_archive_leaves_nothing_behind(tmp_path: Path) -> None:
    for number, case in enumerate(case for case in CASES if case.door == "unpack"):
        with pytest.raises(CourseError):
            DOORS["unpack"].knock(case.make(), tmp_path / str(number))
        assert not (tmp_path / str(number)).exists(), case.name
