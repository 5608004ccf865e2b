"""The live chart: its words and its arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.jobs import Job, JobStatus
from helpers.tuning.progress import Progress
from helpers.ui import live
from helpers.ui.alt import as_html
from helpers.ui.live import headline, loss_chart, remaining, shown, smooth


def _steps(count: int, *, total: int = 100, pace: float = 0.5) -> list[Progress]:
    return [
        Progress(job="j", stage="step", done=i, total=total, seconds=3 + i * pace,
                 loss=1.2 / i, instance_loss=1.0 / i, prior_loss=0.1 / i)
        for i in range(1, count + 1)
    ]  # fmt: skip


def test_remaining_time_is_the_stages_own_pace() -> None:
    assert remaining(_steps(1)) is None
    assert remaining(_steps(40, pace=0.5)) == pytest.approx(30.0)
    painted = [Progress(job="j", stage="class-images", done=8, total=8, seconds=2)]
    assert remaining(painted + _steps(20, pace=2.0)) == pytest.approx(160.0)


def test_the_headline_says_what_happens_and_what_it_costs() -> None:
    text = headline(JobStatus(state="running", seconds=36), _steps(40), price_per_hour=1.52)
    assert "running" in text and "step 40 of 100" in text
    assert "about 30 s left" in text and "$0.015 on AWS" in text
    done = headline(JobStatus(state="completed", seconds=36), _steps(100), price_per_hour=0)
    assert done == "completed · 36 s"


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=80))
def test_smoothing_stays_between_the_extremes_and_keeps_a_constant(values: list[float]) -> None:
    smoothed = smooth(values)
    assert len(smoothed) == len(values)
    assert smoothed.min() >= min(values) - 1e-6 and smoothed.max() <= max(values) + 1e-6
    assert np.allclose(smooth([3.0] * len(values)), 3.0)


def test_the_chart_splits_the_loss_into_subject_and_class() -> None:
    axes = loss_chart(_steps(50)).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert {"subject", "class (prior preservation)"} <= set(lines)
    assert lines["subject"][0] == pytest.approx(1.0)
    assert lines["class (prior preservation)"][0] == pytest.approx(0.1)


def _measured(losses: dict[int, float], *, count: int) -> list[Progress]:
    return [replace(one, held_out_loss=losses.get(one.done)) for one in _steps(count)]


def test_the_chart_shows_the_held_out_loss_and_rings_its_best() -> None:
    axes = loss_chart(_measured({10: 0.5, 20: 0.3, 30: 0.4}, count=30)).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["photos put aside"].get_xdata()) == [10, 20, 30]
    assert (lines["best so far"].get_xdata()[0], lines["best so far"].get_ydata()[0]) == (20, 0.3)
    assert "photos put aside" not in [x.get_label() for x in loss_chart(_steps(9)).axes[0].lines]


def test_the_headline_says_that_a_job_stopped_early_and_only_then() -> None:
    seen = _measured({10: 0.5, 20: 0.3, 30: 0.4}, count=30)
    ended = JobStatus(state="completed", seconds=36)
    assert "stopped early at step 30 of 100, best at 20" in headline(ended, seen, 0)
    assert "early" not in headline(JobStatus(state="running", seconds=36), seen, 0)
    assert "early" not in headline(ended, _measured({100: 0.3}, count=100), 0)


def test_a_chart_before_the_first_step_is_empty_and_not_an_error() -> None:
    figure = loss_chart([], title="running")
    assert figure.axes[0].get_title() == "running"
    picture = shown(figure, "nothing yet")
    assert picture.size == (825, 319)
    assert (as_html(picture) or "").startswith('<img alt="nothing yet"')


def test_watching_shows_one_picture_and_brings_it_up_to_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, str]] = []

    class Handle:
        def update(self, picture) -> None:
            seen.append(("update", picture.info["alt"]))

    def display(picture, display_id: bool) -> Handle:
        seen.append(("display", picture.info["alt"]))
        return Handle()

    looks = [JobStatus(state="running", seconds=1.0), JobStatus(state="completed", seconds=9.0)]
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(live, "follow", lambda cloud, job: iter(looks))
    job = Job(endpoint="e", inference_id="j", input_location="", output_location="",
              failure_location="", submitted=0.0, timeout_s=60)  # fmt: skip
    assert live.watch(cloud=None, job=job).state == "completed"  # type: ignore[arg-type]
    assert [kind for kind, _ in seen] == ["display", "update"]
    assert "completed · 9 s" in seen[-1][1]
