"""docs/reliability.md says what the tests try, all of it and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promises import PAGE, Promise, page, promises


def test_the_page_is_what_the_tests_say() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run .venv/bin/python -m tests.promises"


def test_every_promise_is_said_once_and_has_a_fault_and_an_outcome() -> None:
    found = promises()
    assert len(found) >= 100
    assert len({one.promise for one in found}) == len(found)
    for one in found:
        assert one.promise and one.fault and one.outcome, one.test
        assert "|" not in one.promise + one.fault + one.outcome, one.test
        assert one.section


def test_a_mark_that_lacks_a_word_is_found(tmp_path: Path) -> None:
    half = '@pytest.mark.promise("it holds", fault="none")\ndef test_x(): pass\n'
    (tmp_path / "test_half.py").write_text(half)
    with pytest.raises(ValueError, match=r"test_half\.py::test_x is not a promise"):
        promises(tmp_path)


def test_a_place_without_a_section_is_found() -> None:
    stray = Promise(test="elsewhere/test_x.py::test_x", promise="", fault="", outcome="")
    with pytest.raises(LookupError, match="belongs to no section"):
        assert stray.section
