"""docs/instructor.md: how long the notebooks take, between markers.

python3 course.py bench notebooks --publish
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from helpers.bench.page import fill_file, markdown
from helpers.bench.report import Report
from helpers.settings import ROOT
from helpers.ui.plan import in_words

PAGE = ROOT / "docs" / "instructor.md"


def write_page(report: Report, path: Path = PAGE) -> None:
    """Fill the page's section. Raises ``ValueError`` if it is missing."""
    fill_file(path, "notebooks", section(report))


def section(report: Report) -> str:
    """One line a notebook, after the machine and the date."""
    rows = {row["name"]: row for row in report.results}
    found = [
        (
            number,
            _minutes(rows[f"{number}.minutes"]),
            _minutes(rows[f"{number}.said"]),
            _seconds(rows[f"{number}.longest-cell"]),
            _code(rows[f"{number}.longest-cell.begins"]),
        )
        for number in sorted({name.partition(".")[0] for name in rows})
    ]
    known = [rows[f"{row[0]}.minutes"]["value"] for row in found]
    total = sum(value for value in known if value is not None)
    head = ("notebook", "measured", "its first cell says", "longest cell", "which begins")
    return (
        f"Measured on {report.date[:10]} ({report.machine_in_words}).\n\n{markdown(head, found)}\n"
        f"{total:.0f} minutes for the {sum(value is not None for value in known)} that were "
        "measured.\n"
    )


def _minutes(row: Mapping[str, Any]) -> str:
    return "not measured" if row["value"] is None else in_words(row["value"])


def _seconds(row: Mapping[str, Any]) -> str:
    return "" if row["value"] is None else f"{row['value']:.0f} s"


def _code(row: Mapping[str, Any]) -> str:
    words = (row["value"] or "").replace("|", " ")
    return f"`{shorten(words, 60, placeholder=' …')}`" if words else ""
