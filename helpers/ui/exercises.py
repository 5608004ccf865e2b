"""Exercises: what was asked, checked in sight of the learner, and never in the way.

A check cell is a ``with`` block. What it finds is printed when the block ends; nothing that the
learner wrote can break *Run All*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

STILL_TO_DO = "still to do"
_NEAR = 1e-6


class Checks:
    """The checks of one exercise, called inside the block: ``check(what, found, wanted)``.

    An answer that is still ``...``, or a function that raises ``NotImplementedError``, counts as
    not begun. Any other exception is a check that does not hold. ``done`` says how it ended.
    """

    def __init__(self, name: str, *answers: object) -> None:
        self.name, self.done = name, False
        self._begun = all(answer is not ... for answer in answers)
        self._lines: list[tuple[bool, str]] = []

    def __call__(self, what: str, found: object, wanted: object = True) -> None:
        """Note whether ``found`` is ``wanted``: numbers to six digits, sequences one by one, a
        plain ``wanted=True`` as a yes or no."""
        if wanted is True:
            self._lines.append((bool(found), what))
            return
        holds = alike(found, wanted)
        self._lines.append((holds, what if holds else f"{what}: {wanted!r} wanted, not {found!r}"))

    def __enter__(self) -> Checks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(trouble, BaseException) and not isinstance(trouble, Exception):
            return False  # the learner interrupted it
        print(self._verdict(trouble))
        return True

    def _verdict(self, trouble: BaseException | None) -> str:
        if not self._begun or isinstance(trouble, NotImplementedError):
            missing = str(trouble) if isinstance(trouble, NotImplementedError) else ""
            return f"{self.name}: {STILL_TO_DO}. {missing or 'Put your answer where the ... is.'}"
        if trouble is not None:
            self._lines.append((False, f"{type(trouble).__name__}: {trouble}"))
        held = sum(holds for holds, _ in self._lines)
        self.done = bool(self._lines) and held == len(self._lines)
        verdict = "done" if self.done else f"not yet, {held} of {len(self._lines)} checks hold"
        return "\n".join(
            [f"{self.name}: {verdict}"]
            + [f"  {'✓' if holds else '✗'} {what}" for holds, what in self._lines]
        )


def alike(found: Any, wanted: Any) -> bool:
    """Whether two answers are the same, as a person would compare them."""
    if hasattr(found, "tolist"):  # an array, or a number out of one
        found = found.tolist()
    if hasattr(wanted, "tolist"):
        wanted = wanted.tolist()
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, int | float):
        return isinstance(found, int | float) and math.isclose(
            found, wanted, rel_tol=_NEAR, abs_tol=_NEAR
        )
    if isinstance(wanted, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == wanted.keys()
            and all(alike(found[key], value) for key, value in wanted.items())
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str | bytes):
        return (
            isinstance(found, Sequence)
            and not isinstance(found, str | bytes)
            and len(found) == len(wanted)
            and all(map(alike, found, wanted))
        )
    return bool(found == wanted)
