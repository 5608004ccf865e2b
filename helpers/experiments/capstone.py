"""The capstone: a plan that is written before the run, and a report of one page that is checked.

What the program knows (what was done, numbers with intervals, verdicts, the control) it writes
itself. What only a person can say stays a ``…`` until somebody says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments.effects import values
from helpers.experiments.intervals import Interval, bootstrap
from helpers.experiments.measured import Measured
from helpers.experiments.sweep import Sweep, Variant

PLAN, RESULTS, REPORT, FIGURE = "plan.json", "summary.csv", "report.md", "pictures.png"
SECTIONS = ("Prediction", "Whose pictures", "What was done", "Result", "Control", "What I see",
            "Limits", "Next")  # fmt: skip
LEAST_WORDS = {"Prediction": 10, "What I see": 30, "Limits": 20, "Next": 8}
MOST_WORDS = 600
"""About one page with its figure."""
_INTERVAL = re.compile(r"-?\d+\.\d+ \[-?\d+\.\d+, -?\d+\.\d+\]")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, what will come out, and which number would count as a yes; and the day."""

    question: str
    prediction: str
    yes_if: str
    written: str


def write_plan(folder: Path, *, question: str, prediction: str, yes_if: str) -> Plan:
    """Write the plan down, dated. It may be changed until there are results.

    Raises ``ExperimentError`` when one of the three is empty, and for other words than before once
    ``folder`` holds the tables of a finished run.
    """
    given = {"question": question, "prediction": prediction, "yes_if": yes_if}
    for name, text in given.items():
        if not text.strip():
            raise ExperimentError(f"the plan has no {name}", "", "write one sentence")
    path = folder / PLAN
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if before and {name: before[name] for name in given} == given:
        return Plan(**before)
    if before and (folder / RESULTS).is_file():
        raise ExperimentError(
            "the plan was changed when the results were there already",
            "a prediction that knows the result predicts nothing",
            "keep the old words and say in the report what surprised you, or begin another "
            "experiment under another name",
        )
    plan = Plan(**given, written=datetime.now(UTC).date().isoformat())
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(plan), indent=1), encoding="utf-8")
    return plan


def placebo(found: Measured, column: str, **arm: Any) -> Interval:
    """What another seed of the training changes, all else being the same: last seed minus first.

    A change that is no larger than this is no effect of what was changed. Raises
    ``ExperimentError`` where fewer than two seeds were trained.
    """
    by_seed = values(found, column, **arm)
    if len(by_seed) < 2:
        raise ExperimentError(
            "there is no second seed to compare with", "", "give the sweep two seeds or more"
        )
    first, *_, last = (by_seed[seed] for seed in sorted(by_seed))
    return bootstrap([last - first])


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A line of the result: what changed, by how much, and what the rule says of it."""

    what: str
    change: Interval
    says: str

    def __str__(self) -> str:
        return f"| {self.what} | {self.change} | {self.says} |"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page on disk, and what is missing of it, in words."""

    path: Path
    missing: tuple[str, ...]

    def __str__(self) -> str:
        if not self.missing:
            return f"{self.path}: complete"
        return "\n".join([f"{self.path}: not finished", *(f"  · {one}" for one in self.missing)])


def write_report(
    folder: Path,
    *,
    plan: Plan,
    sweep: Sweep,
    whose: str,
    findings: Sequence[Finding],
    control: Finding,
    figure: Image.Image,
    words: Mapping[str, object],
) -> Report:
    """Write ``report.md`` and its figure, and say what is missing.

    ``words`` are for "What I see", "Limits" and "Next"; ``...`` leaves one open.
    """
    (subject, *_) = sweep.subjects
    ways = "; ".join(f"**{one.name}** ({_changes(one)})" for one in sweep.variants)
    heads = "| what | change [95% interval] | |\n|---|---|---|"
    parts = {
        "Prediction": f"{plan.prediction} (Written on {plan.written}, before any result. A yes "
        f"would be: {plan.yes_if})",
        "Whose pictures": f"{whose} {len(subject.training)} to learn from, {len(subject.heldout)} "
        "held out and used for measuring alone.",
        "What was done": f"Base `{sweep.base.id}`, subject {subject.name}, {sweep.taught}: {ways}. "
        f"{_listed(sweep.steps)} steps, seeds {_listed(sweep.seeds)}, {sweep.pictures} pictures a "
        f"prompt in {sweep.sampling_steps} steps, the same noise everywhere.",
        "Result": "\n".join([heads, *map(str, findings), "", f"![{plan.question}]({FIGURE})"]),
        "Control": f"{heads}\n{control}",
    }
    for name in ("What I see", "Limits", "Next"):
        text = words.get(name, ...)
        parts[name] = "…" if text is ... else str(text)
    page = f"# {plan.question}\n\n" + "\n\n".join(
        f"## {name}\n\n{parts[name]}" for name in SECTIONS
    )
    folder.mkdir(parents=True, exist_ok=True)
    figure.save(folder / FIGURE)
    (folder / REPORT).write_text(page + "\n", encoding="utf-8")
    return Report(path=folder / REPORT, missing=check_report(folder / REPORT))


def check_report(path: Path) -> tuple[str, ...]:
    """What a report still lacks, in words; nothing when it can be handed in.

    It checks form and not thought: that there is a number with its interval, not that it is right.
    """
    text = path.read_text(encoding="utf-8")
    found = dict(re.findall(r"^## ([^\n]+)\n\n(.*?)(?=\n\n## |\Z)", text, re.DOTALL | re.MULTILINE))
    missing = [f"there is no section “{name}”" for name in SECTIONS if name not in found]
    for name, part in found.items():
        least = LEAST_WORDS.get(name, 5)
        if re.search(r"…|\.\.\.", part):
            missing.append(f"“{name}” is still open")
        elif len(part.split()) < least:
            missing.append(f"“{name}” says too little: {least} words or more")
    for name in ("Result", "Control"):
        if not _INTERVAL.search(found.get(name, "")):
            missing.append(f"“{name}” has no number with an interval, such as 0.12 [0.05, 0.19]")
        if not re.search(r"\b(?:yes|no|unclear)\b", found.get(name, "")):
            missing.append(f"“{name}” does not say yes, no or unclear")
    if not re.search(r"\b\d{4}-\d\d-\d\d\b", found.get("Prediction", "")):
        missing.append("“Prediction” has no date")
    figures = re.findall(r"!\[(.*?)\]\((.+?)\)", text)
    if not any(words.strip() and (path.parent / name).is_file() for words, name in figures):
        missing.append("there is no figure with a description, or its file is not beside the page")
    if (words := len(re.sub(r"[|-]", " ", text).split())) > MOST_WORDS:
        missing.append(f"{words} words are more than a page: {MOST_WORDS} at most")
    return tuple(missing)


def _changes(variant: Variant) -> str:
    changed = [f"{key} {value}" for key, value in variant.changes.items()]
    return ", ".join(changed) or "as usual"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
