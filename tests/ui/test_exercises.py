"""The checks of an exercise: what they accept, what they say, and that they break nothing."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.ui.exercises import STILL_TO_DO, Checks, alike


def test_an_answer_that_holds_is_done(capsys) -> None:
    with Checks("Exercise 1", 3) as check:
        check("three", 3, 3)
        check("and odd", 3 % 2 == 1)
    assert check.done
    assert capsys.readouterr().out == "Exercise 1: done\n  ✓ three\n  ✓ and odd\n"


def test_one_that_does_not_shows_both_values(capsys) -> None:
    with Checks("Exercise 1", 4) as check:
        check("three", 4, 3)
        check("a number", True)
    assert not check.done
    said = capsys.readouterr().out
    assert "1 of 2 checks hold" in said and "✗ three: 3 wanted, not 4" in said


def test_what_is_not_begun_says_so_and_stops_nothing(capsys) -> None:
    def later(_: int) -> int:
        raise NotImplementedError("Write later.")

    with Checks("Exercise 1", ...) as value:
        value("never", len(...))  # type: ignore[arg-type]
    with Checks("Exercise 2") as function:
        function("never", later(3), 3)
    assert not value.done and not function.done
    first, second = capsys.readouterr().out.splitlines()
    assert STILL_TO_DO in first
    assert second == f"Exercise 2: {STILL_TO_DO}. Write later."


def test_a_mistake_of_the_learner_is_a_line_not_a_traceback(capsys) -> None:
    with Checks("Exercise 1", 0) as check:
        check("fine", True)
        check("a share", 1 / 0)  # type: ignore[operator]
    assert not check.done
    assert "✗ ZeroDivisionError: division by zero" in capsys.readouterr().out


def test_interrupting_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt), Checks("Exercise 1"):
        raise KeyboardInterrupt


def test_nothing_checked_is_nothing_done(capsys) -> None:
    with Checks("Exercise 1") as check:
        pass
    assert not check.done


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(0.1 + 0.2, 0.3), ((1, 2), [1, 2]), (np.array([1.0, 2.0]), [1, 2]), (np.float64(2), 2),
     ({"a": (1.0,)}, {"a": [1]}), ("as", "as"), ({1, 2}, {2, 1})],
)  # fmt: skip
def test_alike(found, wanted) -> None:
    assert alike(found, wanted)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(0.31, 0.3), ([1], [1, 2]), ("12", 12), (1, True), (True, 1), ("ab", ["a", "b"]),
     ({"a": 1}, {"b": 1}), (None, 0), (float("nan"), 1.0)],
)  # fmt: skip
def test_different(found, wanted) -> None:
    assert not alike(found, wanted)
