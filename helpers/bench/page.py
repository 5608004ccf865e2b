"""docs/performance.md: its tables come from what was counted and measured, between markers.

    python3 course.py bench fine-tune --publish    the timed results
    .venv/bin/python -m helpers.bench.page         the ledger alone

A marker is a comment such as ``<!-- ledger -->``; what stands from it to ``<!-- /ledger -->`` is
replaced. The rest of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.bases.registry import ORIGINAL
from helpers.bench.ledger import PHOTOS, Work, job_work, step_work
from helpers.bench.report import Report, shown, spread_shown
from helpers.settings import ROOT
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.presets import AWS_2023, COURSE

PAGE = ROOT / "docs" / "performance.md"
MORE = 12
_PARTS = {
    "class_images": "painting class images",
    "pictures": "encoding pictures",
    "text": "encoding prompts, and learning there",
    "unet": "steps of the U-Net",
    "heldout": "held-out loss",
}


def write_page(report: Report, path: Path = PAGE) -> None:
    """Fill the section of the report's bench; the first time it is put at the end."""
    text = path.read_text(encoding="utf-8")
    if f"<!-- {report.bench} -->" not in text:
        text += f"\n## Measured: {report.bench}\n\n"
        text += f"<!-- {report.bench} -->\n<!-- /{report.bench} -->\n"
    path.write_text(fill(text, report.bench, results_section(report)), encoding="utf-8")


def fill(page: str, name: str, content: str) -> str:
    """The page with ``content`` between the markers of that name. Raises ``ValueError`` unless it
    has both, once."""
    marked = re.compile(f"<!-- {re.escape(name)} -->\n.*?<!-- /{re.escape(name)} -->", re.DOTALL)
    filled = f"<!-- {name} -->\n{content}<!-- /{name} -->"
    new, found = marked.subn(lambda _: filled, page)
    if found != 1:
        raise ValueError(f"the page has {found} sections called {name}")
    return new


def fill_file(path: Path, name: str, content: str) -> None:
    """``fill`` for a page on the disk."""
    text = path.read_text(encoding="utf-8")
    path.write_text(fill(text, name, content), encoding="utf-8")


def results_section(report: Report) -> str:
    """Every row of a report, after the machine and the date."""
    rows = [
        (f"`{row['name']}`", shown(row), spread_shown(row), row["goal"] or "", _holds(row))
        for row in report.results
    ]
    return (
        f"Measured on {report.date[:10]} in {report.seconds:.0f} s ({report.machine_in_words}).\n\n"
        + markdown(("what", "value", "spread", "goal", "holds"), rows)
    )


def ledger_section() -> str:
    """What a job of each recipe costs, part by part."""
    original = FineTuneConfig.preset(AWS_2023, ORIGINAL)
    course = FineTuneConfig.preset(COURSE, ORIGINAL)
    jobs = {
        "the recipe of 2023": job_work(original),
        "`course`, first job of its class": job_work(course),
        "`course`, class images in the bank": job_work(course, warm=True),
    }
    steps = [step_work(original).total, *[step_work(course).total] * 2]
    counts = [original.steps_for(PHOTOS), *[course.steps_for(PHOTOS)] * 2]
    rows = [
        ("steps", *map(str, counts)),
        ("one step", *(f"{total:.2f} TFLOP" for total in steps)),
        *(
            (words, *(f"{getattr(work, part):,.0f} TFLOP" for work in jobs.values()))
            for part, words in _PARTS.items()
        ),
        ("**the whole job**", *(f"**{work.total / 1000:.2f} PFLOP**" for work in jobs.values())),
        ("of the recipe of 2023", *_shares(list(jobs.values()))),
    ]
    table = markdown((f"{PHOTOS} photos, 512 pixels", *jobs), rows)
    more = [job_work(original), *(job_work(course, photos=MORE, warm=w) for w in (False, True))]
    _, cold, warm = _shares(more)
    return (
        f"{table}\nWith {MORE} photos `course` takes {course.steps_for(MORE)} steps; its shares "
        f"are then {cold} and {warm}.\n"
    )


def _shares(works: Sequence[Work]) -> list[str]:
    return [f"{work.total / works[0].total:.1%}" for work in works]


def _holds(row: Mapping[str, Any]) -> str:
    return {True: "yes", False: "**no**", None: ""}[row["holds"]]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(
        fill(PAGE.read_text(encoding="utf-8"), "ledger", ledger_section()), encoding="utf-8"
    )
