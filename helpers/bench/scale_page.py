"""docs/production.md: what the load model says, between markers.

python3 course.py bench scale --publish
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers.bench.page import fill, markdown
from helpers.bench.report import Report
from helpers.bench.scale import SIZES
from helpers.bench.scale_facts import FACTS, Fact, limits, with_jobs
from helpers.settings import ROOT

PAGE = ROOT / "docs" / "production.md"
_LINES = {
    "fine-tune.product.wait.p50": "a job waits, median",
    "fine-tune.product.wait.p95": "a job waits, 95th percentile",
    "fine-tune.product.instances.mean": "instances that fine-tune, mean",
    "fine-tune.product.instances.peak": "the same, peak",
    "fine-tune.product.cold-starts": "of these started",
    "fine-tune.product.cost": "fine-tuning, for an avatar",
    "pictures": "pictures",
    "pictures.answer.p50": "a picture takes, median",
    "pictures.answer.p95": "a picture takes, 95th percentile",
    "pictures.answer.p99": "a picture takes, 99th percentile",
    "pictures.instances.mean": "instances that paint, mean",
    "pictures.instances.peak": "the same, peak",
    "pictures.cold-starts": "of these started",
    "pictures.avatar-loads": "avatars loaded on first use",
    "pictures.hits": "share of pictures whose avatar was there",
    "pictures.cost": "pictures, for an avatar",
    "cost": "**both, for an avatar**",
    "storage.month": "stored after a month",
    "storage.cost": "and costs",
}
_POLICIES = {
    "wait.p50": "a job waits, median",
    "wait.p95": "95th percentile",
    "instances.mean": "instances, mean",
    "instances.peak": "peak",
    "cold-starts": "instances started",
    "cost": "an avatar",
}
_CHECKS = {
    "check.erlang-c.waiting": "share of jobs that wait in M/M/10, beside Erlang's formula",
    "check.erlang-c.wait": "how long they wait, beside the same",
    "check.little": "Little's law: jobs seen each minute, beside arrivals times stay",
    "check.busy": "work done, beside work that came",
}

Rows = Mapping[str, Mapping[str, Any]]


def write_page(report: Report, path: Path = PAGE) -> None:
    """Fill the page's sections. Raises ``ValueError`` if one is missing."""
    text = path.read_text(encoding="utf-8")
    for name, content in sections(report).items():
        text = fill(text, name, content)
    path.write_text(text, encoding="utf-8")


def sections(report: Report) -> Mapping[str, str]:
    """Tables by the name of their markers."""
    rows = {row["name"]: row for row in report.results}
    head = (
        f"Simulated on {report.date[:10]} in {report.seconds:.0f} s; "
        "medians of three seeds, after six hours that do not count.\n\n"
    )
    return {
        "scale": head + _sizes(rows, _LINES),
        "policies": _policies(rows),
        "limits": _limits(rows),
        "given": _given(rows),
        "checks": _checks(rows),
    }


def _sizes(rows: Rows, lines: Mapping[str, str]) -> str:
    table = [
        (words, *(_shown(rows[f"{size.avatars}.{name}"]) for size in SIZES))
        for name, words in lines.items()
    ]
    return markdown(("", *(f"{size.avatars:,} a day" for size in SIZES)), table)


def _policies(rows: Rows) -> str:
    kinds = ("course", "product")
    found = [
        (
            f"{size.avatars:,} a day, {kind}'s",
            f"{getattr(size, kind).least} to {getattr(size, kind).most}",
            f"{getattr(size, kind).backlog:g}",
            *(_shown(rows[f"{size.avatars}.fine-tune.{kind}.{key}"]) for key in _POLICIES),
        )
        for size in SIZES[1:]
        for kind in kinds
    ]
    return markdown(("policy", "allowed", "target", *_POLICIES.values()), found)


def _facts(rows: Rows) -> Mapping[str, Fact]:
    """The facts with their sources; values are the report's, and some of them were measured."""
    here = str(rows["given.measured-here"]["value"]).split(", ")
    return {
        key: replace(one, how="measured", source="a bench of this machine") if key in here else one
        for key, one in with_jobs(FACTS, warm=0, cold=0).items()
    }


def _limits(rows: Rows) -> str:
    facts = _facts(rows)
    job, picture = (rows[f"given.{key}"]["value"] for key in ("job.warm", "picture"))
    found = [
        (
            one.about,
            f"{one.limit:,.0f} {one.unit}",
            "the first" if one.bites == 0 else f"{_round(one.bites):,.0f}",
            one.next,
            f"[cited]({one.source})" if one.how == "cited" else f"{one.how}: {one.source}",
        )
        for one in limits(facts, job, picture)
    ]
    return markdown(("limit", "is", "reached at avatars a day", "then", "source"), found)


def _given(rows: Rows) -> str:
    found = [
        (one.about, _shown(rows[f"given.{key}"]), one.how, _linked(one.source))
        for key, one in _facts(rows).items()
    ]
    return markdown(("what", "value", "how", "source"), found)


def _linked(source: str) -> str:
    """Addresses become links of one word: they are long."""
    return re.sub(r"https://\S+", lambda found: f"[this page]({found[0]})", source)


def _checks(rows: Rows) -> str:
    found = [
        (words, f"{rows[name]['value']:.2%}", str(rows[name]["goal"]))
        for name, words in _CHECKS.items()
    ]
    return markdown(("check", "off by", "goal, as a share"), found)


def _round(value: float) -> float:
    """Two digits: the inputs carry no more."""
    return float(f"{value:.1e}")


def _shown(row: Mapping[str, Any]) -> str:
    """A row's value with its unit, in three digits."""
    number = format(float(format(row["value"], ".2e")), ",.10g")
    return f"${number}" if row["unit"] == "$" else f"{number} {row['unit']}".rstrip()
