"""Reports say what was measured, hold it to its goals, and never stand half on the disk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.bench.registry import BENCHES
from helpers.bench.report import (
    GOALS,
    Report,
    Row,
    holds,
    make_report,
    measured,
    read_goals,
    read_report,
)
from helpers.errors import SettingsError


def report(*rows: Row, goals: dict[str, str] | None = None, **changes: Any) -> Report:
    given = {"machine": {"cores": 2}, "seconds": 1.0, "goals": goals or {}, **changes}
    return make_report("some-bench", rows, **given)


@given(value=st.integers(-1000, 1000), bound=st.integers(-1000, 1000))
def test_a_goal_compares(value: int, bound: int) -> None:
    assert holds(value, f"<= {bound}") is (value <= bound)
    assert holds(value, f">= {bound}") is (value >= bound)


def test_what_was_not_measured_holds_neither_way_and_nan_never() -> None:
    assert holds(None, "<= 1") is None
    assert holds(3.0, None) is None
    assert holds(math.nan, "<= 1") is False
    assert holds(math.nan, ">= 1") is False


def test_a_row_has_the_six_keys_of_the_contract(tmp_path: Path) -> None:
    made = report(
        measured("a", [3.0, 1.0, 2.0], "s"), Row(name="b", value=None), goals={"a": "<= 1"}
    )
    path = made.write(tmp_path)
    kept = json.loads(path.read_text())
    assert path.name == "some_bench.json"
    assert set(kept) >= {"machine", "date", "seconds", "results"}
    assert kept["results"] == [
        {"name": "a", "value": 2.0, "unit": "s", "goal": "<= 1", "holds": False, "spread": [1, 3]},
        {"name": "b", "value": None, "unit": "", "goal": None, "holds": None, "spread": None},
    ]
    assert made.missed == ["a"]
    assert read_report(path) == made


def test_a_published_shape_says_whether_it_was_reproduced() -> None:
    rows = report(Row(name="a", value=1.0, reproduced="unclear")).results
    assert rows[0]["reproduced"] == "unclear"


def test_a_promise_cannot_go_missing() -> None:
    with pytest.raises(ValueError, match="no row answers the goal b"):
        report(Row(name="a", value=1.0), goals={"b": "<= 1"})
    with pytest.raises(ValueError, match="two rows are called a"):
        report(Row(name="a", value=1.0), Row(name="a", value=2.0))


def test_a_quick_run_leaves_the_true_report_alone(tmp_path: Path) -> None:
    true = report(Row(name="a", value=1.0)).write(tmp_path)
    quick = report(Row(name="a", value=9.0), quick=True).write(tmp_path)
    assert quick != true
    assert read_report(true).results[0]["value"] == 1.0


def test_a_failed_write_leaves_the_report_before(tmp_path: Path) -> None:
    path = report(Row(name="a", value=1.0)).write(tmp_path)
    before = path.read_bytes()
    broken = report(Row(name="a", value=1.0), machine={"cores": object()})
    with pytest.raises(TypeError):
        broken.write(tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_cannot_hold_are_left_out_and_do_not_hold(tmp_path: Path) -> None:
    made = report(Row(name="a", value=math.nan, spread=(0.0, math.inf)), goals={"a": ">= 0"})
    kept = read_report(made.write(tmp_path)).results[0]
    assert (kept["value"], kept["spread"], kept["holds"]) == (None, [0.0, None], False)
    assert "a" in str(made.table).splitlines()[-1]


def test_the_table_tells_every_row_and_what_was_missed() -> None:
    rows = [Row(name="a.good", value=0.1234), Row(name="a.bad", value=7.0, unit="s")]
    text = str(report(*rows, goals={"a.good": "<= 1", "a.bad": "<= 5"}).table)
    assert "0.1234" in text
    assert "7.000 s" in text
    assert text.splitlines()[-1] == "1 goals do not hold: a.bad"


def test_the_goals_are_comparisons_of_benches_that_exist() -> None:
    known = json.loads(GOALS.read_text())
    assert set(known) <= set(BENCHES)
    for bench in known:
        assert read_goals(bench)


def test_a_goal_that_is_no_comparison_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "goals.json"
    path.write_text(json.dumps({"x": {"a": "about 3"}}))
    with pytest.raises(SettingsError, match="about 3"):
        read_goals("x", path)
