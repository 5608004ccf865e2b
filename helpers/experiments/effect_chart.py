"""Differences as dots with their intervals, beside those that a publication reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from helpers.experiments.charts import COLOURS, GREY, MARKERS
from helpers.experiments.intervals import Interval
from helpers.tables import Table, Tabular

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Line:
    """One difference: what it is, which way is better in words, what was published (if known), and
    what was found, by subject."""

    name: str
    better: str
    published: float | None
    found: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True, repr=False)
class Effects(Tabular):
    """Lines of one table; ``what`` says what is compared with what."""

    what: str
    lines: Sequence[Line]

    @property
    def table(self) -> Table:
        names = list(self.lines[0].found)
        rows = [
            (line.name, "-" if line.published is None else f"{line.published:+.3f}",
             *(_shown(line.found[name]) for name in names))
            for line in self.lines
        ]  # fmt: skip
        return Table(head=(self.what, "published", *names), rows=rows)

    def chart(self) -> Figure:
        """A panel for each line, since their scales have nothing in common."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2.9 * len(self.lines), 2.4), layout="constrained")
        axes_of: Any = figure.subplots(1, len(self.lines), squeeze=False)[0]
        for axes, line in zip(axes_of, self.lines, strict=True):
            for place, (name, one) in enumerate(line.found.items()):
                axes.errorbar(
                    one.value, -place, xerr=[[one.value - one.low], [one.high - one.value]],
                    color=COLOURS[place], marker=MARKERS[place], capsize=3, label=name,
                )  # fmt: skip
            axes.axvline(0, color=GREY, linewidth=0.8)
            ticks = [-place for place in range(len(line.found))]
            names = list(line.found)
            if line.published is not None:
                axes.plot(line.published, -len(names), "x", color=GREY, markersize=7)
                ticks, names = [*ticks, -len(names)], [*names, "published"]
            axes.set_yticks(ticks, names if axes is axes_of[0] else [""] * len(names), fontsize=9)
            axes.set_ylim(-len(names) + 0.4, 0.6)
            axes.tick_params(axis="x", labelsize=8)
            axes.locator_params(axis="x", nbins=4)
            axes.set_title(f"{line.name}\n({line.better})", fontsize=9, loc="left")
            axes.spines[["top", "right", "left"]].set_visible(False)
        figure.supxlabel(f"{self.what}; bars: 95% intervals", fontsize=8, color=GREY)
        return figure


def _shown(one: Interval) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
