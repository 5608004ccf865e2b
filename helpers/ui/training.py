"""Watching a training job while it runs: stage, loss, seconds and money."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from helpers.cloud.training_jobs import TrainingJob, TrainingStatus, follow
from helpers.tuning.progress import Progress, read_progress
from helpers.ui.live import LiveFigure, headline, loss_chart

if TYPE_CHECKING:
    from helpers.cloud.session import Cloud


def watch_training(
    cloud: Cloud,
    job: TrainingJob,
    *,
    once_at: tuple[int, Callable[[], None]] | None = None,
) -> TrainingStatus:
    """Follow ``job`` to its end and redraw one figure as it goes; returns the last status.

    ``once_at`` is a step and something to do when the log has come to it. The same without a figure
    is ``for status in follow(cloud, job): print(status.detail)``. Interrupting the cell leaves the
    job alone.
    """
    seen: list[Progress] = []
    figure, waiting, status = LiveFigure(), once_at, None
    for status in follow(cloud, job):
        seen += read_progress(map(str, status.lines))
        if waiting and not status.done and any(one.done >= waiting[0] for one in _steps(seen)):
            waiting[1]()
            waiting = None
        if not figure.due and not status.done:
            continue
        title = headline(status, seen, job.per_hour or 0.0)
        if status.detail != status.state:
            title = f"{status.detail} · {title}"
        figure.show(loss_chart(_steps(seen), title=title), alt=f"Loss; {title}")
    assert status is not None
    return status


def _steps(seen: list[Progress]) -> list[Progress]:
    """The steps in their order: a job that was interrupted tells those it had done once more."""
    steps = {one.done: one for one in seen if one.stage == "step"}
    return [steps[done] for done in sorted(steps)]
