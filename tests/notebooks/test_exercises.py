"""Every exercise by its own checks: not begun, answered as in ``solutions/``, and answered wrongly.

A notebook's exercise is three cells: ``ex-N-task``, ``ex-N`` (what the learner fills in) and
``ex-N-check``. ``solutions/<notebook>.py`` has a cell of the same name for each of them, another
with a mistake that people make, and one cell ``before`` with what of the notebook they stand on.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.settings import ROOT, Settings
from helpers.ui.exercises import STILL_TO_DO

NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
TITLE = re.compile(r"^# %% (before|ex-\d)( mistake)?$", re.MULTILINE)


def solution_cells(path: Path) -> dict[str, str]:
    """A percent file's cells by their titles."""
    parts = TITLE.split(path.read_text(encoding="utf-8"))[1:]
    names = [name + (mistake or "") for name, mistake in zip(parts[::3], parts[1::3], strict=True)]
    assert len(names) == len(set(names)), path.name
    return dict(zip(names, parts[2::3], strict=True))


def notebook_cells(path: Path) -> dict[str, str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells}


def exercises(cells: dict[str, str]) -> list[str]:
    return [name for name in cells if re.fullmatch(r"ex-\d", name)]


def names_made(code: str, *, asked: bool = False) -> set[str]:
    """What a cell defines at its top level; if ``asked``, only what it leaves to the learner."""
    made = set()
    for line in ast.parse(code).body:
        if isinstance(line, ast.FunctionDef):
            made.add(line.name)
        elif isinstance(line, ast.Assign) and not (asked and not _is_blank(line.value)):
            made |= {target.id for target in line.targets if isinstance(target, ast.Name)}
    return made


def _is_blank(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is ...


@pytest.fixture
def course(local_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AVATAR_FAST": "1",
        "AVATAR_LEARNER": local_settings.learner,
        "AVATAR_STATE": str(local_settings.state),
        "AVATAR_OUTPUTS": str(local_settings.outputs),
        "AVATAR_THREADS": str(local_settings.threads),
    }.items():
        monkeypatch.setenv(name, value)
    yield


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_answers_pass_mistakes_and_blanks_do_not(notebook: Path, course: None) -> None:
    cells = notebook_cells(notebook)
    answers = solution_cells(ROOT / "solutions" / f"{notebook.stem}.py")
    space: dict[str, Any] = {}

    def run(code: str, name: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(code, f"{notebook.stem}:{name}", "exec"), space)
        return said.getvalue()

    def judged(code: str, number: str) -> tuple[bool, str]:
        run(code, number)
        said = run(cells[f"{number}-check"], f"{number}-check")
        return space["check"].done, said

    run(answers["before"], "before")
    for number in exercises(cells):
        done, said = judged(cells[number], number)
        assert not done and STILL_TO_DO in said, number
        done, said = judged(answers[number], number)
        assert done, f"{number}: {said}"
        done, said = judged(answers[f"{number} mistake"], number)
        assert not done and "✗" in said, f"{number}: a mistake passes"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_exercise_has_its_task_its_hint_its_check_and_its_answer(notebook: Path) -> None:
    cells = notebook_cells(notebook)
    answers = solution_cells(ROOT / "solutions" / f"{notebook.stem}.py")
    numbers = exercises(cells)
    assert 2 <= len(numbers) <= 4
    assert numbers == [f"ex-{n + 1}" for n in range(len(numbers))]
    assert set(answers) == {"before", *numbers, *(f"{one} mistake" for one in numbers)}
    assert f"solutions/{notebook.stem}.py" in cells["ex"]
    order = list(cells)
    for number in numbers:
        at = order.index(number)
        assert order[at - 1 : at + 2] == [f"{number}-task", number, f"{number}-check"]
        task = cells[f"{number}-task"]
        assert task.startswith(f"### Exercise {number[3:]} · ")
        assert "<details><summary>Hint</summary>" in task and task.rstrip().endswith("</details>")
        assert f"lab.exercise({number[3:]}" in cells[f"{number}-check"]
        made = names_made(cells[number], asked=True)
        assert made
        for kind in (number, f"{number} mistake"):
            assert made <= names_made(answers[kind]), f"{kind} does not answer {made}"


def test_no_solution_without_a_notebook() -> None:
    found = {path.stem for path in (ROOT / "solutions").glob("*.py")}
    assert found == {path.stem for path in NOTEBOOKS}
