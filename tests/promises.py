"""docs/reliability.md, written from the tests: ``python -m tests.promises``.

A test that tries a promise by a fault says so in a mark::

    @pytest.mark.promise("what holds", fault="what goes wrong", outcome="what the test insists on")

Marks are read from the source: nothing is run, and nothing but the table of lies is imported.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.bench.page import fill, markdown
from helpers.settings import ROOT

PAGE = ROOT / "docs" / "reliability.md"
SECTIONS = {
    "The service and its secret": ("tests/local/test_service.py", "tests/local/test_closed.py"),
    "Jobs and endpoints": ("tests/local",),
    "Fine-tuning and experiments": ("tests/tuning", "tests/pocket", "tests/experiments"),
    "Hosted avatars": ("tests/conformance", "tests/hosting"),
    "What costs money, and what is personal": (
        "tests/cloud", "tests/launcher", "tests/aws", "tests/photos", "tests/test_demo.py",
        "tests/cohort",
    ),
    "Programs, pins and files": ("tests/test_", "tests/bench", "tests/bases", "tests/ui",
                                 "tests/notebooks", "tests/infrastructure"),
    "Input that lies": ("tests/hostile", "tests/test_archives.py"),
}  # fmt: skip
"""Headings, and the places whose marks stand below each; the longest that fits decides."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """``test`` as pytest names it, without parameters."""

    test: str
    promise: str
    fault: str
    outcome: str

    @property
    def section(self) -> str:
        fitting = [
            (len(place), heading)
            for heading, places in SECTIONS.items()
            for place in places
            if self.test.startswith(place)
        ]
        if not fitting:
            raise LookupError(f"{self.test} belongs to no section of {PAGE.name}")
        return max(fitting)[1]


def promises(folder: Path = ROOT / "tests") -> list[Promise]:
    """Every marked test, in the order of the files. Raises ``ValueError`` for a mark that lacks a
    word or is no plain text."""
    files = sorted(folder.rglob("test_*.py"))
    return [found for path in files for found in _marked(path, folder.parent)]


def _marked(path: Path, root: Path) -> Iterator[Promise]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise":
                test = f"{path.relative_to(root).as_posix()}::{node.name}"  # type: ignore[union-attr]
                try:
                    (said,) = (ast.literal_eval(argument) for argument in mark.args)
                    named = {str(one.arg): ast.literal_eval(one.value) for one in mark.keywords}
                    yield Promise(test=test, promise=said, **named)
                except (ValueError, TypeError):
                    raise ValueError(f"the mark of {test} is not a promise") from None


def promises_section() -> str:
    """A table for each heading."""
    found: dict[str, list[Promise]] = defaultdict(list)
    for one in promises():
        found[one.section].append(one)
    tables = [
        f"### {heading}\n\n"
        + markdown(
            ("promise", "the fault that tries it", "outcome", "test"),
            [(one.promise, one.fault, one.outcome, _link(one.test)) for one in found[heading]],
        )
        for heading in SECTIONS
        if found[heading]
    ]
    return "\n".join(tables)


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[`{name.removeprefix('test_')}`](../{path})"


def lies_section() -> str:
    """The table of bad input: by door, the lies that are told there."""
    from tests.hostile.cases import CASES
    from tests.hostile.doors import DOORS

    rows = []
    for name, door in DOORS.items():
        lies = [case.name for case in CASES if case.door == name]
        rows.append((door.what, str(len(lies)), "; ".join(lies)))
    table = markdown(("what comes in", "lies", "which"), rows)
    return f"{len(CASES)} kinds of bad input, at {len(DOORS)} doors.\n\n{table}"


def page() -> str:
    """The page as it should read."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in (("promises", promises_section()), ("lies", lies_section())):
        text = fill(text, name, content)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
