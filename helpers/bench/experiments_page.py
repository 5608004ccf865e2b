"""docs/experiments.md: what the bench of the experiments found, between markers.

python3 course.py bench experiments --publish
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.bench import experiments_tables as tables
from helpers.bench.experiments import Plan, work_folder
from helpers.bench.experiments_advice import ADVICE
from helpers.bench.experiments_shapes import CURVES, shapes
from helpers.bench.page import fill_file, markdown
from helpers.bench.report import Report, shown
from helpers.settings import ROOT, Settings

PAGE = ROOT / "docs" / "experiments.md"
_EVIDENCE = {
    1: ("advice.photos.4", "advice.photos.8", "advice.photos.16"),
    2: ("advice.steps.animal-usual", "advice.steps.animal-later", "advice.steps.face-later"),
    3: ("shape.prior.face.pres-falls", "shape.prior.animal.pres-falls",
        "shape.prior.face.div-rises", "shape.prior.animal.div-rises"),
    4: ("advice.memory.LoRA", "advice.memory.full"),
    5: ("shape.similar.last-wins", "shape.similar-back.last-wins",
        "shape.similar-full.last-wins"),
    6: ("advice.rate.likeness", "advice.rate.beach", "advice.rate.pres"),
}  # fmt: skip
"""The rows that each of the six verdicts rests on."""

Rows = Mapping[str, Mapping[str, Any]]


def write_page(report: Report, path: Path = PAGE, measured: Path | None = None) -> None:
    """Fill the page's section, and put the tables that it was made of beside it.

    ``measured`` is where the run left them. Raises ``ValueError`` if the page has no such section.
    """
    fill_file(path, "experiments", section(report))
    measured = measured or tables.own(work_folder(Settings.from_environment()))
    tables.publish(measured, path.with_suffix(""))


def section(report: Report) -> str:
    """Machine and time, the six recommendations, controls, and what the tables show."""
    rows = {row["name"]: row for row in report.results}
    measured = of_tables(rows)
    hours = sum(rows[f"time.{what}"]["value"] for what in ("training", "painting"))
    parts = [
        f"Measured on {report.date[:10]} ({report.machine_in_words}). "
        f"{rows['cells']['value']:.0f} cells took "
        f"{hours:.1f} core hours of training and painting; the last run of the bench, which may "
        f"have found some of them finished, took {report.seconds / 60:.0f} minutes.\n",
        measured["shapes"],
        f"### The six recommendations\n\n{_advice(rows)}",
        measured["curves"],
        measured["matrices"],
        f"### Protocol and controls\n\n{_controls(rows)}",
    ]
    return "\n".join(parts)


def of_tables(rows: Rows) -> dict[str, str]:
    """The parts that follow from the published tables alone: shapes, curves and matrices."""
    return {
        "shapes": f"### Published shapes\n\n{_shapes(rows)}",
        "curves": f"### What each step looks like\n\n{_curves(rows)}",
        "matrices": f"### One subject after another\n\n{_matrices(rows)}",
    }


def _shapes(rows: Rows) -> str:
    """Claims do not depend on the base, so the plan needs none."""
    lines = [
        (one.claim, f"`{one.name}`", one.number, _interval(rows[one.name]),
         rows[one.name].get("reproduced") or "")
        for one in shapes(_marks(rows))
    ]  # fmt: skip
    head = ("published", "row", "what was measured", "found [95%]", "reproduced")
    return markdown(head, lines)


def _advice(rows: Rows) -> str:
    lines = [
        (str(one.number), one.says, f"**{rows[f'advice.{one.number}']['value']}**",
         "; ".join(f"`{name}` {_interval(rows[name])}" for name in _EVIDENCE[one.number]),
         one.rule)
        for one in ADVICE
    ]  # fmt: skip
    return markdown(("", "the publication", "we", "our numbers", "the rule"), lines)


def _curves(rows: Rows) -> str:
    keys = [name.split(".") for name in rows if name.startswith("steps.")]
    marks = list(dict.fromkeys((way, int(step)) for _, way, step, _ in keys))
    lines = [
        (way, str(step) if step else "base",
         *(_interval(rows[name]) if (name := f"steps.{way}.{step}.{curve}") in rows else ""
           for curve, _, _ in CURVES))
        for way, step in sorted(marks)
    ]  # fmt: skip
    head = ("", "steps", *(f"{metric} ({prompt})" for _, metric, prompt in CURVES))
    return markdown(head, lines)


def _matrices(rows: Rows) -> str:
    lines = []
    for name, row in rows.items():
        if name.startswith(("similar", "different")):
            sweep, subject, after = name.split(".")
            if after.startswith("after-"):
                named = rows[f"{sweep}.{subject}.named-{after}"]
                after = after.removeprefix("after-")
                lines.append((sweep, after, subject, _interval(row), _interval(named)))
    head = ("sweep", "after", "subject", "subject_fidelity", "identification_rate")
    return markdown(head, lines)


def _controls(rows: Rows) -> str:
    lines = [
        (f"`{name}`", shown(row), row["goal"] or "", {True: "yes", False: "**no**"}.get(
            row["holds"], ""))
        for name, row in rows.items() if name.startswith(("protocol.", "control."))
    ]  # fmt: skip
    return markdown(("what", "value", "goal", "holds"), lines)


class _Marks:
    """The marks of the run that the rows come from."""

    def __init__(self, steps: tuple[int, ...]) -> None:
        self.steps, self.late = steps, steps[-1]
        self.early, self.usual = Plan.early, Plan.usual


def _marks(rows: Rows) -> _Marks:
    steps = {int(name.split(".")[2]) for name in rows if name.startswith("steps.")} - {0}
    return _Marks(tuple(sorted(steps)))


def _interval(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "not measured"
    value = row["value"]
    if isinstance(value, str):
        return value
    low, high = row["spread"] or (None, None)
    between = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"{value:.3f}{between}"
