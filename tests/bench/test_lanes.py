"""Jobs side by side: on cores of their own, in order, and none left when one fails."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.bench.lanes import WIDEST, Lanes, Task, share
from helpers.bench.machine import cores, peak_memory, processor
from helpers.errors import TrainingError


def task(folder: Path, *, gpu: bool = False, **given: Any) -> Task:
    return Task(module="tests.bench.task", given=given, folder=folder, gpu=gpu)


@given(found=st.sets(st.integers(0, 127), min_size=1), count=st.integers(1, 8))
def test_no_core_is_in_two_lanes_and_lanes_are_alike(found: set[int], count: int) -> None:
    lanes = share(sorted(found), count)
    used = [core for lane in lanes for core in lane]
    assert len(used) == len(set(used))
    assert set(used) <= found
    assert 1 <= len(lanes) <= count
    assert len({len(lane) for lane in lanes}) == 1
    assert 1 <= len(lanes[0]) <= WIDEST


def test_a_chain_goes_on_in_order_in_its_lane(tmp_path: Path) -> None:
    chains = {
        name: [task(tmp_path / f"{name}-{place}", seconds=0.05) for place in range(2)]
        for name in ("one", "two")
    }
    answers = Lanes().run(chains)
    for first, second in answers.values():
        assert first["ended"] <= second["began"]
        assert first["given"] == second["given"]
        assert first["cores"] in ([], first["given"])
        assert first["threads"] == str(len(first["given"]))
        assert first["gpu_hidden"]
    if len(cores()) > 1:
        (one, *_), (two, *_) = answers.values()
        assert not set(one["given"]) & set(two["given"])


def test_a_task_may_see_the_gpu_if_it_is_meant_to(tmp_path: Path) -> None:
    answers = Lanes(count=1).run({"a": [task(tmp_path / "a", gpu=True)]})
    assert answers["a"][0]["gpu_hidden"] is False


def test_a_task_that_fails_ends_the_others_and_says_why(tmp_path: Path) -> None:
    chains = {
        "long": [task(tmp_path / "long", seconds=60 if len(cores()) > 1 else 0)],
        "bad": [task(tmp_path / "bad", seconds=0), task(tmp_path / "worse", fails=True)],
        "later": [task(tmp_path / "later")],
    }
    began = time.monotonic()
    with pytest.raises(TrainingError, match="It fell over") as caught:
        Lanes().run(chains)
    assert time.monotonic() - began < 30
    assert "worse" in str(caught.value)
    left = {path.parent.name for path in tmp_path.glob("*/answer.json")}
    assert left == ({"bad"} if len(cores()) > 1 else {"long", "bad"})


def test_an_answer_of_before_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    Lanes(count=1).run({"a": [task(folder)]})
    assert (folder / "answer.json").exists()
    with pytest.raises(TrainingError):
        Lanes(count=1).run({"a": [task(folder, fails=True)]})


def test_the_peak_of_memory_is_this_process_s_own() -> None:
    before = peak_memory()
    held = bytearray(before + 50_000_000)
    assert peak_memory() >= before + 50_000_000
    assert len(held) > before


def test_the_processor_is_named_where_the_system_names_it(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("vendor_id\t: X\nmodel name\t: Some Chip 3000 @ 2 GHz\nflags : a\n")
    assert processor(info) == "Some Chip 3000 @ 2 GHz"
    assert processor(tmp_path / "missing")
