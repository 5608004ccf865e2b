"""Watching a fine-tuning job while it runs: stage, loss, seconds and money."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL.Image import Image as Picture
from PIL.Image import open as open_picture

from helpers.cloud.jobs import Job, JobStatus, follow
from helpers.tuning.progress import Progress, read_progress
from helpers.ui.alt import described

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from helpers.cloud.session import Cloud

ORANGE, BLUE, GREEN = "#D55E00", "#0072B2", "#009E73"
"""Three colours of Okabe and Ito's palette, told apart by every kind of colour vision."""
REDRAW_S = 1.0


def watch(cloud: Cloud, job: Job, *, price_per_hour: float = 0.0) -> JobStatus:
    """Follow ``job`` to its end and redraw one figure as it goes; returns the last status.

    The same without a figure is ``for status in follow(cloud, job): print(status.state)``.
    Interrupting the cell leaves the job alone: run it again to look further.
    """
    seen: list[Progress] = []
    figure, status = LiveFigure(), None
    for status in follow(cloud, job):
        seen += read_progress(map(str, status.lines), job.inference_id)
        if figure.due or status.done:
            title = headline(status, seen, price_per_hour)
            figure.show(loss_chart(seen, title=title), alt=f"Loss by step; {title}")
    assert status is not None
    return status


class LiveFigure:
    """One picture of a cell, drawn again in its place while a wait goes on."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = -REDRAW_S

    @property
    def due(self) -> bool:
        """Whether the last drawing is a second old."""
        return time.monotonic() - self._drawn >= REDRAW_S

    def show(self, figure: Figure, *, alt: str) -> None:
        """``alt`` says in words what the figure shows."""
        from IPython.display import display

        picture = shown(figure, alt)
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        self._drawn = time.monotonic()


def shown(figure: Figure, alt: str) -> Picture:
    """The figure as a picture, which every front end shows, plotting library or not, with a
    description in words for those who do not see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return described(open_picture(buffer), alt)


class Looked(Protocol):
    """What a look at a job of any kind tells."""

    @property
    def state(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def done(self) -> bool: ...


def headline(status: Looked, seen: Sequence[Progress], price_per_hour: float) -> str:
    """One line: what happens, for how long, how much longer, for how much."""
    parts = [status.state]
    measured = held_out(seen)
    if status.done and measured and seen[-1].done < seen[-1].total:
        best = min(measured, key=lambda one: one[1])[0]
        parts.append(f"stopped early at step {seen[-1].done} of {seen[-1].total}, best at {best}")
    if seen and not status.done:
        last = seen[-1]
        parts.append(f"{last.stage.replace('-', ' ')} {last.done} of {last.total}")
        if (left := remaining(seen)) is not None:
            parts.append(f"about {left:.0f} s left")
    parts.append(f"{status.seconds:.0f} s")
    if price_per_hour:
        parts.append(f"${status.seconds / 3600 * price_per_hour:.3f} on AWS")
    return " · ".join(parts)


def remaining(seen: Sequence[Progress]) -> float | None:
    """Seconds that the stage at work still needs at its own pace; ``None`` while unknown."""
    last = seen[-1]
    first = next(one for one in seen if one.stage == last.stage)
    if last.done == first.done:
        return None
    pace = (last.seconds - first.seconds) / (last.done - first.done)
    return pace * (last.total - last.done)


def smooth(values: Sequence[float], share: float = 0.12) -> np.ndarray:
    """Running mean over ``share`` of the values, shorter at the beginning."""
    width = max(1, round(len(values) * share))
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def loss_chart(seen: Sequence[Progress], *, title: str = "") -> Figure:
    """The loss on the subject and, if there is one, on the class; thin lines are single steps.

    Dots are the held-out loss, where photos were put aside; a ring is around the lowest.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 2.9), layout="constrained")
    axes: Any = figure.subplots()
    steps = [one for one in seen if one.stage == "step"]
    places = [one.done for one in steps]
    pairs = [("subject", BLUE, [one.instance_loss or 0.0 for one in steps])]
    if steps and steps[-1].prior_loss is not None:
        pairs.append(
            ("class (prior preservation)", ORANGE, [one.prior_loss or 0.0 for one in steps])
        )
    for name, colour, values in pairs if steps else []:
        axes.plot(places, values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(places, smooth(values), color=colour, linewidth=2, label=name)
    _draw_held_out(axes, steps)
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.set_xlim(0, steps[-1].total if steps else 1)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    if steps:
        axes.legend(frameon=False, loc="upper right")
    return figure


def held_out(seen: Sequence[Progress]) -> list[tuple[int, float]]:
    """Steps after which the held-out loss was measured, and what it was."""
    return [
        (one.done, one.held_out_loss)
        for one in seen
        if one.stage == "step" and one.held_out_loss is not None
    ]


def _draw_held_out(axes: Any, steps: Sequence[Progress]) -> None:
    measured = held_out(steps)
    if measured:
        axes.plot(*zip(*measured, strict=True), "o-", color=GREEN, label="photos put aside")
        best = min(measured, key=lambda one: one[1])
        axes.plot(*best, "o", color=GREEN, markersize=13, fillstyle="none", label="best so far")
