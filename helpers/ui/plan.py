"""The whole course in one table: minutes here, and dollars on AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers.cloud.costs import Estimate, estimate
from helpers.cloud.needs import COURSE, PLANNED
from helpers.cloud.prices import money
from helpers.cloud.session import Cloud
from helpers.settings import ROOT
from helpers.tables import Table

_TIME = re.compile(r"\n\| time \| (?:about )?([\d.]+) (second|minute)s?\b")


def course_plan(cloud: Cloud) -> Table:
    """Minutes that each notebook takes here, as its first cell says; and what it runs on AWS."""
    minutes = {path.stem: minutes_here(path) for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
    estimates = [
        (need.notebook, estimate(cloud, need.what, need.instance_type, count=need.count,
                                 hours=need.hours, use=need.use))
        for need in COURSE
    ]  # fmt: skip
    rows = []
    for stem, taken in minutes.items():
        here = in_words(taken) if taken else "?"
        items = [found for notebook, found in estimates if notebook == stem[:2]]
        said = [(stem, "" if number else here, *_words(one)) for number, one in enumerate(items)]
        rows += said or [(stem, here, "-", "", "")]
    rows += [
        (notebook, "", *_words(found))
        for notebook, found in estimates
        if not any(stem.startswith(notebook) for stem in minutes)
    ]
    rows.sort(key=lambda row: row[0])
    known = sum(found.dollars or 0.0 for _, found in estimates)
    sources = sorted({found.price.source for _, found in estimates})
    return Table(
        head=("notebook", "here", "on AWS", "hours", "dollars"),
        rows=rows,
        notes=[
            f"In all {sum(minutes.values()):.0f} minutes here, {money(known)} on AWS.",
            f"Hours on AWS: {PLANNED}. Prices: {'; '.join(sources)}.",
        ],
    )


def minutes_here(notebook: Path) -> float:
    """The minutes in a notebook's first table, seconds counted as such; 0 where it does not say."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found = _TIME.search("".join(cells[0]["source"]))
    return float(found[1]) / (60 if found[2] == "second" else 1) if found else 0.0


def in_words(minutes: float) -> str:
    """``9.5 min``, and less than a minute in seconds: ``7 s``."""
    return f"{minutes:.1f} min" if minutes >= 1 else f"{minutes * 60:.0f} s"


def _words(found: Estimate) -> tuple[str, str, str]:
    return f"{found.instances}, {found.what}", f"{found.hours:g}", money(found.dollars)
