"""The command: what it refuses, what it lists, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import helpers.bench.__main__ as command
from helpers.bench.registry import BENCHES, Bench
from helpers.bench.report import Row
from helpers.errors import TrainingError
from helpers.launcher import commands
from helpers.launcher.prepare import Launcher


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVATAR_OUTPUTS", str(tmp_path))
    return tmp_path / "bench"


def offer(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """A bench of one row that is ``value``; its goal is 5 at most."""

    class Small(Bench):
        def run(self, settings: Any, **how: Any) -> list[Row]:
            if value < 0:
                raise TrainingError("it did not work")
            return [Row(name="a", value=value)]

    monkeypatch.setattr(command, "bench", lambda name: Small(about="one row", module=""))
    monkeypatch.setattr("helpers.bench.report.read_goals", lambda bench: {"a": "<= 5"})


def test_an_unknown_bench_is_refused_with_the_list_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Launcher, "prepare", lambda self: pytest.fail("it prepared"))
    assert commands.main(["bench", "everything"]) == 1
    said = capsys.readouterr().err
    assert "everything" in said
    assert all(name in said for name in BENCHES)


def test_without_a_name_it_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said and one.about in said for name, one in BENCHES.items())


def test_the_launcher_passes_the_words_on(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(Launcher, "prepare", lambda self: "python")
    monkeypatch.setattr(Launcher, "run", lambda self, *words: heard.extend(words) or 0)
    assert commands.main(["bench", "fine-tune", "--quick"]) == 0
    assert heard == ["python", "-m", "helpers.bench", "fine-tune", "--quick"]


@pytest.mark.parametrize("value, holds", [(4.0, True), (6.0, False)])
def test_a_goal_that_does_not_hold_is_told_and_is_no_failure(
    value: float,
    holds: bool,
    outputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offer(monkeypatch, value)
    assert command.main(["fine-tune"]) == 0
    kept = json.loads((outputs / "fine_tune.json").read_text())
    assert kept["results"][0]["holds"] is holds
    assert kept["machine"]["cores"] >= 1
    assert ("do not hold: a" in capsys.readouterr().out) is not holds


def test_a_bench_that_fails_leaves_no_report(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, -1.0)
    assert command.main(["fine-tune"]) == 1
    assert "it did not work" in capsys.readouterr().err.lower()
    assert not list(outputs.glob("*.json"))


def test_numbers_that_mean_nothing_are_not_published() -> None:
    with pytest.raises(SystemExit):
        command.main(["fine-tune", "--quick", "--publish"])
