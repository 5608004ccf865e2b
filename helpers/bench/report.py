"""A bench's report: rows with goals, in one file that appears whole or not at all.

    {"bench": "fine-tune", "quick": false, "machine": {...}, "date": "...", "seconds": 812.4,
     "results": [{"name", "value", "unit", "goal", "holds", "spread"}, ...]}

Goals are in ``goals.json`` beside this module and nowhere else. A goal compares a row's ``value``;
its spread is there to be looked at. What was not measured has the value ``null`` and holds neither
way.
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from helpers.errors import SettingsError
from helpers.tables import Table

GOALS = Path(__file__).with_name("goals.json")

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
}
_GOAL = re.compile(r"(<=|>=) (-?\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number that an issue or the documentation claims, or needs beside such a one.

    ``spread`` is the lowest and the highest of the single measurements, ``None`` for what is
    counted and not measured. ``reproduced`` (``yes``, ``no``, ``unclear``) is for shapes that a
    publication shows.
    """

    name: str
    value: float | str | None
    unit: str = ""
    spread: tuple[float, float] | None = None
    reproduced: str | None = None


def measured(name: str, values: Sequence[float], unit: str = "") -> Row:
    """The median of several measurements, and how far they spread."""
    if not values:
        return Row(name=name, value=None, unit=unit)
    return Row(name=name, value=median(values), unit=unit, spread=(min(values), max(values)))


def read_goals(bench: str, path: Path = GOALS) -> dict[str, str]:
    """The goals of a bench by row, such as ``{"flops.ratio.warm": "<= 0.1667"}``.

    Raises ``SettingsError`` for a goal that is no comparison with a number.
    """
    goals = json.loads(path.read_text(encoding="utf-8")).get(bench, {})
    for name, goal in goals.items():
        if not _GOAL.fullmatch(goal):
            raise SettingsError(f"the goal of {name} is {goal!r}", "it reads <= or >= and a number")
    return goals


def holds(value: float | str | None, goal: str | None) -> bool | None:
    """Whether ``value`` meets ``goal``; ``None`` where there is no goal or nothing was measured.

    NaN meets none.
    """
    if goal is None or value is None:
        return None
    sign, number = goal.split()
    return isinstance(value, (int, float)) and _COMPARISONS[sign](value, float(number))


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one run of a bench found; see ``make_report``."""

    bench: str
    quick: bool
    machine: dict[str, Any]
    date: str
    seconds: float
    results: list[dict[str, Any]]

    @property
    def missed(self) -> list[str]:
        """The rows whose goal does not hold."""
        return [row["name"] for row in self.results if row["holds"] is False]

    @property
    def machine_in_words(self) -> str:
        """The machine as a page names it."""
        return ", ".join(f"{name} {value}" for name, value in self.machine.items())

    def write(self, folder: Path) -> Path:
        """Write ``<bench>.json`` to ``folder``; a quick run's has ``_quick`` in its name.

        Whoever reads meanwhile sees the report before or this one, never a part.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (self.bench.replace("-", "_") + ("_quick" if self.quick else "") + ".json")
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=1, ensure_ascii=False, allow_nan=False)
                file.write("\n")
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
        return path

    @property
    def table(self) -> Table:
        """Every row in words; what was missed stands below once more."""
        rows = [
            (row["name"], shown(row), spread_shown(row), row["goal"] or "", _mark(row["holds"]))
            for row in self.results
        ]
        notes = [f"{len(self.missed)} goals do not hold: {', '.join(self.missed)}"]
        return Table(
            head=("what", "value", "spread", "goal", "holds"),
            rows=rows,
            notes=notes if self.missed else (),
        )


def make_report(
    bench: str,
    rows: Sequence[Row],
    *,
    machine: Mapping[str, Any],
    seconds: float,
    quick: bool = False,
    goals: Mapping[str, str] | None = None,
) -> Report:
    """Hold every row to its goal.

    Raises ``ValueError`` for two rows of one name and for a goal without a row: a number that
    somebody promised must not go missing unnoticed.
    """
    goals = read_goals(bench) if goals is None else goals
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two rows are called {twice[0]}")
    if unmet := sorted(set(goals) - set(names)):
        raise ValueError(f"no row answers the goal {unmet[0]}")
    results = []
    for row in rows:
        goal = goals.get(row.name)
        value, spread = _finite(row.value), row.spread and [_finite(end) for end in row.spread]
        results.append(
            {"name": row.name, "value": value, "unit": row.unit, "goal": goal,
             "holds": holds(row.value, goal), "spread": spread}
            | ({"reproduced": row.reproduced} if row.reproduced else {})
        )  # fmt: skip
    return Report(
        bench=bench,
        quick=quick,
        machine=dict(machine),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        results=results,
    )


def read_report(path: Path) -> Report:
    """A report that was written before."""
    return Report(**json.loads(path.read_text(encoding="utf-8")))


def shown(row: Mapping[str, Any]) -> str:
    """A row's value with its unit."""
    value = row["value"]
    if value is None:
        return "not measured"
    text = value if isinstance(value, str) else _number(value)
    return f"{text} {row['unit']}".rstrip()


def spread_shown(row: Mapping[str, Any]) -> str:
    """A row's spread, ``low to high``; empty if it has none."""
    low, high = row["spread"] or (None, None)
    return "" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    """Four digits that count, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def _finite(value: float | str | None) -> float | str | None:
    """JSON has no word for NaN: the value goes and ``holds`` tells."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mark(holds: bool | None) -> str:
    return {True: "yes", False: "NO", None: ""}[holds]
