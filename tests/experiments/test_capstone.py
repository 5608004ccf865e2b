"""The capstone: a plan that cannot be changed afterwards, a placebo, and a page that is checked."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments.capstone import (
    FIGURE,
    MOST_WORDS,
    RESULTS,
    SECTIONS,
    Finding,
    Plan,
    Report,
    check_report,
    placebo,
    write_plan,
    write_report,
)
from helpers.experiments.intervals import Interval
from helpers.experiments.measured import Measured
from helpers.experiments.tidy import Tidy
from helpers.settings import ROOT

WORDS = {
    "question": "Is rank 2 enough?",
    "prediction": "Yes, a chair is little to say, so the likeness will hardly fall.",
    "yes_if": "the likeness falls by less than 0.02",
}
SEEN = {
    "What I see": "With rank 2 the arms of the chair are thinner and the cushion turns green in "
    "two pictures of twelve; otherwise I cannot tell the rows apart, and the number agrees with me "
    "there.",
    "Limits": "One chair, drawn, of one colour; two seeds; and a judge that has only ever looked "
    "at drawings like these.",
    "Next": "The same for a person, who has more to say.",
}
EMPTY = Tidy(columns=(), rows=())


def measured(by_seed: dict[int, list[float]]) -> Measured:
    columns = ("variant", "seed", "picture", "likeness")
    rows = tuple(
        ("usual", seed, number, value)
        for seed, some in by_seed.items()
        for number, value in enumerate(some)
    )
    return Measured(pictures=Tidy(columns=columns, rows=rows), summary=EMPTY, costs=EMPTY)


def interval(low: float, high: float) -> Interval:
    return Interval(
        value=(low + high) / 2, low=low, high=high, level=0.95, seeds=2, pictures=4, over="both"
    )


@pytest.fixture
def handed_in(make_sweep, tmp_path: Path) -> Report:
    plan = Plan(**WORDS, written="2026-11-29")
    return write_report(
        tmp_path / "capstone",
        plan=plan,
        sweep=make_sweep(),
        whose="Drawn for the course, nobody's.",
        findings=[Finding(what="likeness", change=interval(-0.3, -0.1), says="yes")],
        control=Finding(what="another seed", change=interval(-0.1, 0.1), says="no"),
        figure=Image.new("RGB", (8, 8)),
        words=SEEN,
    )


def test_a_plan_may_be_changed_until_there_are_results(tmp_path: Path) -> None:
    first = write_plan(tmp_path, **WORDS)
    assert write_plan(tmp_path, **WORDS) == first
    changed = {**WORDS, "prediction": "No."}
    assert write_plan(tmp_path, **changed).prediction == "No."
    (tmp_path / RESULTS).write_text("done")
    assert write_plan(tmp_path, **changed).prediction == "No."
    with pytest.raises(ExperimentError, match="results were there already"):
        write_plan(tmp_path, **WORDS)


@pytest.mark.parametrize("name", list(WORDS))
def test_a_plan_says_all_three_things(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=f"no {name}"):
        write_plan(tmp_path, **{**WORDS, name: " "})


def test_a_placebo_is_the_difference_of_two_seeds(tmp_path: Path) -> None:
    found = measured({0: [0.5, 0.6, 0.7], 1: [0.6, 0.7, 0.8]})
    change = placebo(found, "likeness", variant="usual")
    assert change.value == pytest.approx(0.1)
    same = placebo(measured({0: [0.5, 0.6], 1: [0.5, 0.6]}), "likeness", variant="usual")
    assert np.allclose([same.value, same.low, same.high], 0)
    with pytest.raises(ExperimentError, match="no second seed"):
        placebo(measured({0: [0.5, 0.6]}), "likeness", variant="usual")


def test_a_report_with_everything_is_complete(handed_in: Report) -> None:
    assert handed_in.missing == ()
    assert str(handed_in).endswith("report.md: complete")
    text = handed_in.path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(SECTIONS)
    assert "-0.200 [-0.300, -0.100]" in text and "before any result" in text
    assert (handed_in.path.parent / FIGURE).is_file()


def test_what_is_left_open_is_named(make_sweep, tmp_path: Path) -> None:
    report = write_report(
        tmp_path,
        plan=Plan(**WORDS, written="2026-11-29"),
        sweep=make_sweep(),
        whose="Drawn for the course, nobody's.",
        findings=[Finding(what="likeness", change=interval(-0.3, -0.1), says="yes")],
        control=Finding(what="another seed", change=interval(-0.1, 0.1), says="no"),
        figure=Image.new("RGB", (8, 8)),
        words={"What I see": ..., "Limits": "None."},
    )
    said = "\n".join(report.missing)
    assert "“What I see” is still open" in said and "“Next” is still open" in said
    assert "“Limits” says too little" in said
    assert "not finished" in str(report)


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [("-0.200 [-0.300, -0.100]", "-0.200", "“Result” has no number with an interval"),
     ("another seed | 0.000 [-0.100, 0.100] | no", "another seed | it failed | ", "“Control” has"),
     ("| no |", "| perhaps |", "“Control” does not say yes, no or unclear"),
     ("2026-11-29", "long ago", "“Prediction” has no date"),
     ("## Limits", "## Excuses", "there is no section “Limits”"),
     (f"]({FIGURE})", "](elsewhere.png)", "no figure with a description"),
     (f"![{WORDS['question']}]", "![]", "no figure with a description"),
     ("One chair", "chair " * MOST_WORDS, "more than a page")],
)  # fmt: skip
def test_what_a_reader_would_miss_is_named(handed_in: Report, old, new, missing) -> None:
    text = handed_in.path.read_text(encoding="utf-8")
    assert old in text
    handed_in.path.write_text(text.replace(old, new), encoding="utf-8")
    assert any(missing in one for one in check_report(handed_in.path))


def test_the_guide_lists_the_parts_of_the_page() -> None:
    guide = (ROOT / "docs" / "capstone.md").read_text(encoding="utf-8")
    table = guide.partition("| part | written by |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([A-Z][\w ]+) \|", table, re.MULTILINE) == list(SECTIONS)
