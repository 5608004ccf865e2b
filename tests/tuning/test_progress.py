from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tuning.progress import (
    Progress,
    format_progress,
    job_name,
    parse_progress,
    read_progress,
)

COUNTS = st.integers(0, 10**6)
LOSSES = st.none() | st.floats(0, 1e4)


@given(
    job=st.text(max_size=40),
    stage=st.sampled_from(["step", "class-images"]),
    done=COUNTS,
    total=COUNTS,
    seconds=st.floats(0, 1e5),
    loss=LOSSES,
    instance_loss=LOSSES,
    prior_loss=LOSSES,
    held_out_loss=LOSSES,
    before=st.text(max_size=30),
)
def test_a_line_is_read_back_whatever_stands_before_it(job: str, before: str, **rest: Any) -> None:
    given = Progress(job=job_name(job), **rest)
    line = format_progress(given)
    assert line.isprintable()
    found = parse_progress(f"{before} {line}")
    assert found is not None
    assert (found.job, found.stage) == (given.job, given.stage)
    assert (found.done, found.total) == (given.done, given.total)
    for name in ("loss", "instance_loss", "prior_loss", "held_out_loss"):
        one, other = getattr(found, name), getattr(given, name)
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other, abs=1e-5)


@given(st.text())
def test_other_lines_are_passed_over(line: str) -> None:
    assert parse_progress(line) is None


def test_the_lines_of_one_job_are_found_among_others() -> None:
    lines = [
        format_progress(Progress(job=job_name(job), stage="step", done=done, total=2, seconds=0.1))
        for done in (1, 2)
        for job in ("first", "Second job")
    ]
    log = ["loading", *lines, "done"]
    assert [one.done for one in read_progress(log, "Second job")] == [1, 2]
    assert len(list(read_progress(log))) == 4
