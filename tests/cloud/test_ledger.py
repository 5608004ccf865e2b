"""The ledger: written before, never lost, shared by many writers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.ledger import Ledger
from helpers.settings import ROOT

KEYS = st.tuples(st.sampled_from(["model", "topic", "queue"]), st.sampled_from(["a", "b", "ü\n"]))
EVENTS = st.lists(st.tuples(st.sampled_from(["planned", "created", "removed"]), KEYS))


@given(events=EVENTS)
def test_open_is_what_was_planned_and_not_removed(
    events: list[tuple[str, tuple[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    expected: dict[tuple[str, str], bool] = {}
    for event, key in events:
        getattr(ledger, event)(*key)
        if event == "planned":
            expected.setdefault(key, False)
        elif event == "created" and key in expected:
            expected[key] = True
        elif event == "removed":
            expected.pop(key, None)
    found = {(e.kind, e.name): e.created is not None for e in Ledger(ledger.path).open()}
    assert found == expected


def test_the_line_is_there_before_the_call(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "ledger.jsonl")
    with ledger.creating("endpoint", "e", price_per_hour=1.408):
        (entry,) = Ledger(ledger.path).open()
        assert (entry.name, entry.created, entry.price_per_hour) == ("e", None, 1.408)
    assert ledger.open()[0].created
    assert ledger.price_per_hour() == 1.408
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_a_refused_call_leaves_no_line_but_never_hides_an_older_resource(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(RuntimeError), ledger.creating("model", "m"):
        raise RuntimeError("no quota")
    assert ledger.open() == []
    with ledger.creating("model", "m"):
        pass
    with pytest.raises(RuntimeError), ledger.creating("model", "m"):
        raise RuntimeError("already existing")
    assert [entry.name for entry in ledger.open()] == ["m"]


@pytest.mark.promise(
    "A torn line costs nothing else",
    fault="half a line, a line of zeros",
    outcome="the entries before and after are read",
)
@pytest.mark.parametrize("torn", ['{"time": 1, "event": "pla', "null", "[1]", "\x00\x00"])
def test_half_a_line_of_a_killed_writer_costs_nothing_else(tmp_path: Path, torn: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.planned("model", "before")
    with ledger.path.open("a") as file:
        file.write(torn)
    ledger.planned("model", "after")
    assert [entry.name for entry in ledger.open()] == ["before", "after"]


@pytest.mark.promise(
    "Two notebooks may write one ledger",
    fault="two processes, 50 lines each",
    outcome="100 whole lines",
)
def test_writers_do_not_mix_their_lines(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from helpers.cloud.ledger import Ledger\n"
        "for i in range(50): Ledger(Path(sys.argv[1])).planned('model', sys.argv[2] + str(i))"
    )
    path = tmp_path / "ledger.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], cwd=ROOT, env=os.environ)
        for name in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(Ledger(path).open()) == 100


def test_it_imports_no_aws_library() -> None:
    script = "import sys, helpers.cloud.ledger; print('boto3' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "False"
