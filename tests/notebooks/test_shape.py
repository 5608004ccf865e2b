"""What every notebook owes its reader; that it runs is tested by running it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers.settings import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALLOWED = {"helpers", "json", "time", "pathlib", "botocore", "diffusers", "PIL"} | {
    "base64", "datetime", "io", "math", "numpy", "statistics"
}  # fmt: skip


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> tuple[Path, list[dict]]:
    path = request.param
    return path, json.loads(path.read_text(encoding="utf-8"))["cells"]


def _texts(cells: list[dict], kind: str, *, exercises: bool = True) -> list[str]:
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == kind and (exercises or not _of_an_exercise(cell))
    ]


def _of_an_exercise(cell: dict) -> bool:
    """Exercises (``test_exercises.py``) come on top of what a notebook may be long."""
    return cell["id"] == "ex" or cell["id"].startswith("ex-")


def test_it_opens_with_a_question_and_says_time_cost_and_needs(notebook) -> None:
    path, cells = notebook
    first = _texts(cells, "markdown")[0]
    assert first.startswith(f"# {path.stem[:2]} · ")
    assert re.search(r"\*\*[^*]+\?\*\*", first), "the question in bold"
    for row in ("time", "cost", "needs"):
        assert f"\n| {row} |" in first
    assert re.search(r"\n\| (creates|removes) \|", first)


def test_one_setup_cell_starts_it(notebook) -> None:
    path, cells = notebook
    code = _texts(cells, "code")
    assert code[0].startswith("from helpers.ui.lab import start")
    assert sum(f'start("{path.stem}")' in cell for cell in code) == 1


def test_cells_are_short_and_prose_leads_to_them(notebook) -> None:
    _, cells = notebook
    lines = sorted(len(cell.splitlines()) for cell in _texts(cells, "code", exercises=False))
    assert lines[len(lines) // 2] <= 8 and lines[-1] <= 20
    assert 7 <= len(lines) <= 30
    words = sum(len(text.split()) for text in _texts(cells, "markdown", exercises=False))
    assert 250 <= words <= 1700


def test_exercises_are_short(notebook) -> None:
    _, cells = notebook
    asked = [cell for cell in cells if _of_an_exercise(cell)]
    assert all(len(cell.splitlines()) <= 20 for cell in _texts(asked, "code"))
    tasks = _texts(asked, "markdown")
    assert all(len(task.split()) <= 130 for task in tasks)
    assert sum(len(task.split()) for task in tasks) <= 400


def test_it_asks_for_a_prediction_and_ends_with_its_limits(notebook) -> None:
    path, cells = notebook
    prose = "\n".join(_texts(cells, "markdown"))
    assert "**Predict" in prose or "**Predict:**" in prose
    assert "**Limits.**" in prose
    if path.stem[:2] not in ("00", "09"):
        assert "control that must fail" in prose
        assert "## Try it yourself" in prose and "<details>" in prose


def test_it_imports_helpers_and_nothing_private(notebook) -> None:
    _, cells = notebook
    code = "\n".join(_texts(cells, "code"))
    imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
    assert imported <= ALLOWED
    assert not re.search(r"^[!%]", code, re.MULTILINE), "no shell and no magics"
    assert not re.search(r"helpers[.\w]*\._|\bimport _", code)
