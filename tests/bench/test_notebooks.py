"""Times of notebooks: measured by running them, and never those of a notebook that failed."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest

from helpers.bench.notebooks import (
    Timing,
    kept_timings,
    notebook,
    numbers,
    rows_of,
    time_notebook,
)
from helpers.bench.notebooks_page import PAGE, write_page
from helpers.bench.report import make_report, read_goals
from helpers.errors import CourseError, SettingsError
from helpers.ui.plan import in_words, minutes_here


def written(folder: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = folder / "00_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_notebook_is_timed_with_its_settings_and_a_failing_one_is_named(tmp_path: Path) -> None:
    environ = {**os.environ, "AVATAR_LEARNER": "timed", "JUPYTER_PREFER_ENV_PATH": "1"}
    slow = "import os, time\nassert os.environ['AVATAR_LEARNER'] == 'timed'\ntime.sleep(0.7)"
    path = written(tmp_path, "1 + 1", slow)
    before = path.read_bytes()
    timing = time_notebook(path, environ)
    assert 0.7 <= timing.longest <= timing.seconds
    assert timing.first_line.startswith("assert os.environ")
    assert path.read_bytes() == before, "what is timed stays as it was"
    with pytest.raises(CourseError, match=r"00_small does not run.*ZeroDivisionError"):
        time_notebook(written(tmp_path, "1 / 0"), environ)


def test_every_notebook_of_the_course_has_a_goal_and_a_line_on_the_page(tmp_path: Path) -> None:
    assert len(numbers()) == 11 and set(read_goals("notebooks")) == {
        f"{number}.off-what-is-said" for number in numbers()
    }
    with pytest.raises(SettingsError):
        notebook("77")
    timing = Timing(seconds=150, longest=61, first_line="wait()")
    rows = rows_of({"02": timing, "03": timing})
    report = make_report("notebooks", rows, machine={"processor": "named"}, seconds=1)
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    write_page(report, page)
    text = page.read_text(encoding="utf-8")
    said = in_words(minutes_here(notebook("02")))
    assert f"| 02 | 2.5 min | {said} | 61 s | `wait()` |" in text and "named" in text
    assert "| 00 | not measured |" in text and "5 minutes for the 2" in text

    report.write(tmp_path)
    kept = tmp_path / "notebooks.json"
    assert kept_timings(report.machine, kept) == {"02": timing, "03": timing}
    assert kept_timings({"processor": "other"}, kept) == {}, "another machine's time is another"
    assert kept_timings(report.machine, tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("factor", "holds"), [(0.6, False), (0.8, True), (1.2, True), (1.4, False)]
)
def test_a_notebook_that_is_faster_or_slower_than_it_says_misses(
    factor: float, holds: bool
) -> None:
    said = minutes_here(notebook("03"))
    timing = Timing(seconds=60 * said * factor, longest=1, first_line="wait()")
    report = make_report("notebooks", rows_of({"03": timing}), machine={}, seconds=1)
    assert {row["name"]: row["holds"] for row in report.results}["03.off-what-is-said"] is holds
