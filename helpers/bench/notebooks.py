"""The bench of notebooks: how long each takes on this machine, run from its first cell to its last.

    python3 course.py bench notebooks --publish             all of them, for docs/instructor.md
    .venv/bin/python -m helpers.bench.notebooks 00 02 03    some; the rest is kept from before

They run in their order against a local SageMaker of their own, in folders that are thrown away, so
each number is that of a first run. Nobody reads or thinks between the cells: it is the machine's
time alone. Exercises stay unsolved.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from helpers.bench.machine import describe_machine
from helpers.bench.report import Row, make_report, read_report
from helpers.errors import CourseError, SettingsError
from helpers.local.launch import stop
from helpers.settings import ROOT, Settings
from helpers.ui.plan import minutes_here

LONGEST_CELL_S = 3600


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of a whole notebook, its kernel's start included, and of its longest cell."""

    seconds: float
    longest: float
    first_line: str


def numbers() -> tuple[str, ...]:
    """Of the course's notebooks, ``00`` first."""
    return tuple(path.name[:2] for path in sorted(ROOT.glob("notebooks/*.ipynb")))


def notebook(number: str) -> Path:
    """The file. Raises ``SettingsError``."""
    found = sorted(ROOT.glob(f"notebooks/{number}_*.ipynb"))
    if not found:
        raise SettingsError(f"there is no notebook {number}", next=f"one of {', '.join(numbers())}")
    return found[0]


def run(settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every notebook's row; ``quick`` is a rehearsal, whose times mean nothing."""
    return rows_of(measure(numbers(), settings, quick=quick, say=say))


def measure(
    wanted: Sequence[str], settings: Settings, *, quick: bool, say: Callable[[str], None]
) -> dict[str, Timing]:
    """Run the notebooks of these numbers. Raises ``CourseError`` for one that fails."""
    timings: dict[str, Timing] = {}
    with tempfile.TemporaryDirectory(prefix="avatar-timing-") as folder:
        environ = _environment(settings, Path(folder), quick=quick)
        try:
            for number in sorted(wanted):
                path = notebook(number)
                say(path.stem)
                timings[number] = time_notebook(path, environ)
        finally:
            stop(Settings.from_environment(environ))
    return timings


def rows_of(timings: Mapping[str, Timing]) -> list[Row]:
    """Rows of every notebook, beside what its first cell promises; without a value where it was
    not timed. ``off-what-is-said`` is the share by which it is slower or faster than that."""
    return [
        row
        for number in numbers()
        for row in _rows(number, timings.get(number), minutes_here(notebook(number)))
    ]


def _rows(number: str, timing: Timing | None, said: float) -> list[Row]:
    minutes = timing and timing.seconds / 60
    return [
        Row(name=f"{number}.minutes", value=minutes, unit="min"),
        Row(name=f"{number}.said", value=said, unit="min"),
        Row(name=f"{number}.off-what-is-said", value=minutes and abs(minutes / said - 1)),
        Row(name=f"{number}.longest-cell", value=timing and timing.longest, unit="s"),
        Row(name=f"{number}.longest-cell.begins", value=timing and timing.first_line),
    ]


def time_notebook(path: Path, environ: Mapping[str, str]) -> Timing:
    """Run a copy of a notebook in the folder of the original. Raises ``CourseError`` for one that
    fails."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    content = nbformat.read(path, as_version=4)
    client = NotebookClient(
        content, timeout=LONGEST_CELL_S, kernel_name="python3", record_timing=True,
        resources={"metadata": {"path": str(path.parent)}},
    )  # fmt: skip
    began = time.monotonic()
    try:
        client.execute(env=dict(environ))
    except CellExecutionError as trouble:
        raise CourseError(
            f"{path.stem} does not run", f"{trouble.ename}: {trouble.evalue}", "open it and run it"
        ) from None
    except (CellTimeoutError, DeadKernelError) as trouble:
        raise CourseError(f"{path.stem} does not end", str(trouble)) from None
    seconds = time.monotonic() - began
    cells = [cell for cell in content.cells if cell.cell_type == "code" and _took(cell)]
    slowest = max(cells, key=_took, default=None)
    return Timing(
        seconds=seconds,
        longest=_took(slowest) if slowest else 0.0,
        first_line=_last_call(slowest.source) if slowest else "",
    )


def _took(cell: Any) -> float:
    """Seconds between a cell's begin and its end, as the kernel said."""
    said = cell.metadata.get("execution", {})
    ends = [said.get("iopub.execute_input"), said.get("shell.execute_reply")]
    if None in ends:
        return 0.0
    began, ended = (datetime.fromisoformat(str(one)) for one in ends)
    return (ended - began).total_seconds()


def _last_call(source: str) -> str:
    """A line to know the cell by: the first that is no import."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return next((one for one in lines if not one.startswith(("import", "from", "#"))), "")


def _environment(settings: Settings, folder: Path, *, quick: bool) -> dict[str, str]:
    """The caller's, but for the course's own settings: local, and a learner without a past."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AVATAR_")}
    return {
        **kept,
        "AVATAR_STATE": str(folder / "state"),
        "AVATAR_OUTPUTS": str(folder / "outputs"),
        "AVATAR_THREADS": str(settings.threads),
        "JUPYTER_PREFER_ENV_PATH": "1",
        **({"AVATAR_FAST": "1"} if quick else {}),
    }


def kept_timings(machine: Mapping[str, Any], path: Path) -> dict[str, Timing]:
    """What an earlier report in ``path`` measured on the same machine."""
    if not path.is_file():
        return {}
    before = read_report(path)
    if before.machine != machine:
        return {}
    values = {row["name"]: row["value"] for row in before.results}
    return {
        number: Timing(
            seconds=60 * values[f"{number}.minutes"],
            longest=values[f"{number}.longest-cell"],
            first_line=values[f"{number}.longest-cell.begins"],
        )
        for number in numbers()
        if values.get(f"{number}.minutes") is not None
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Some notebooks instead of all; writes the report and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="+", help="such as 00 02 03")
    given = parser.parse_args(arguments)
    settings = Settings.from_environment()
    try:
        for number in given.numbers:
            notebook(number)
        began = time.monotonic()
        timings = measure(
            given.numbers, settings, quick=False, say=lambda text: print(text, flush=True)
        )
    except CourseError as trouble:
        print(trouble, file=sys.stderr)
        return 1
    from helpers.bench.notebooks_page import write_page

    machine = json.loads(json.dumps(describe_machine(settings)))
    folder = settings.outputs / "bench"
    rows = rows_of({**kept_timings(machine, folder / "notebooks.json"), **timings})
    report = make_report("notebooks", rows, machine=machine, seconds=time.monotonic() - began)
    report.write(folder)
    write_page(report)
    print(report.table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
