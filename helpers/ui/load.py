"""Many jobs and the endpoint that scales with them: one chart of the queue and of the instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from helpers.cloud.load import Load
from helpers.cloud.metrics import Sample
from helpers.ui.live import BLUE, ORANGE, LiveFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def watch_load(looks: Iterable[Load]) -> list[Load]:
    """Redraw one chart while ``looks`` (of ``follow_all``) come in; returns them all.

    The same without a figure is ``for load in looks: print(load)``.
    """
    seen: list[Load] = []
    figure = LiveFigure()
    for load in looks:
        seen.append(load)
        if figure.due:
            figure.show(load_chart(seen), alt=in_words(seen))
    figure.show(load_chart(seen), alt=in_words(seen))
    return seen


def in_words(seen: Sequence[Load]) -> str:
    """What the chart shows, for those who cannot see it."""
    last, most = seen[-1], max(load.instances for load in seen)
    return (
        f"{last.completed} jobs completed, {last.failed} failed, {last.backlog} unfinished after "
        f"{last.seconds:.0f} s; {most} instances at most, {last.instances} now"
    )


def load_chart(seen: Sequence[Load]) -> Figure:
    """Unfinished jobs above, instances below, over seconds; both as steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    seconds = [load.seconds for load in seen]
    for axes, name, colour, values in (
        (upper, "jobs, queued or running", BLUE, [load.backlog for load in seen]),
        (lower, "instances", ORANGE, [load.instances for load in seen]),
    ):
        plot: Any = axes
        plot.step(seconds, values, where="post", color=colour, linewidth=2)
        plot.fill_between(seconds, values, step="post", color=colour, alpha=0.15)
        plot.set(ylabel=name, ylim=(0, max([*values, 1]) * 1.1))
        plot.spines[["top", "right"]].set_visible(False)
    lower.yaxis.get_major_locator().set_params(integer=True)
    lower.set_xlabel("seconds since the first job was sent")
    upper.set_title(in_words(seen), fontsize=9)
    return figure


def memory_chart(samples: Sequence[Sample]) -> Figure:
    """Memory in percent of an instance's, over seconds since the first sample."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 1.9), layout="constrained")
    axes: Any = figure.subplots()
    seconds = [one.time - samples[0].time for one in samples]
    values = [one.value for one in samples]
    axes.plot(seconds, values, color=ORANGE, linewidth=2)
    axes.set(xlabel="seconds", ylabel="memory in %", ylim=(0, max([*values, 1]) * 1.2))
    axes.set_title(f"{max(values, default=0):.0f}% at most", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
