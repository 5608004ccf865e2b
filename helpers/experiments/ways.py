"""Two subjects, and every way of teaching both: what is known of each in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.errors import ExperimentError
from helpers.experiments.measured import Measured
from helpers.experiments.sweep import COMBINED
from helpers.tables import Table, Tabular

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE, TOGETHER = "base", "both together"
SWAPPED, COMBINED_ROW = "two adapters, swapped", "two adapters, combined"


@dataclass(frozen=True, kw_only=True, repr=False)
class Ways(Tabular):
    """S(j) of every subject after each way of teaching: ``scores[row, subject]``.

    ``rows`` begin with the base and the lessons of the sequence, whose scores are the forgetting
    matrix; then the ways that a sequence is compared with.
    """

    title: str
    subjects: tuple[str, ...]
    rows: tuple[str, ...]
    scores: np.ndarray

    @classmethod
    def of(
        cls, *, sequence: Measured, adapters: Measured, together: Measured,
        variant: str, prompt: str = "subject",
    ) -> Ways:  # fmt: skip
        """From three sweeps of the same subjects. Raises ``ExperimentError`` if they are not."""
        order = [name for name in sequence.summary.values("after") if name]
        rows = {BASE: _scores(sequence, variant, prompt, "")}
        rows |= {f"after {name}": _scores(sequence, variant, prompt, name) for name in order}
        (both,) = [name for name in together.summary.values("after") if name]
        rows[TOGETHER] = _scores(together, variant, prompt, both)
        taught = [one for one in adapters.summary.values("after") if one not in ("", COMBINED)]
        rows[SWAPPED] = _scores(adapters, variant, prompt, taught[-1])
        rows[COMBINED_ROW] = _scores(adapters, variant, prompt, COMBINED)
        if any(set(found) != set(order) for found in rows.values()):
            raise ExperimentError(
                "the sweeps taught other subjects", "", "compare ways of teaching the same ones"
            )
        return cls(
            title=" then ".join(order),
            subjects=tuple(order),
            rows=tuple(rows),
            scores=np.array([[found[name] for name in order] for found in rows.values()]),
        )

    def kept(self, row: str) -> dict[str, float]:
        """The share of what was learned that is left in that row: 1 all, 0 no more than the base.

        Learned is what the sequence shows just after the subject's own lesson. NaN where that was
        nothing.
        """
        base = self.scores[0]
        learned = np.array([self.scores[1 + place, place] for place in range(len(self.subjects))])
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = (self.scores[self.rows.index(row)] - base) / (learned - base)
        shares[~np.isfinite(shares)] = np.nan
        return dict(zip(self.subjects, map(float, shares), strict=True))

    @property
    def table(self) -> Table:
        lines = [
            (row, *(f"{score:.3f}" for score in scores))
            for row, scores in zip(self.rows, self.scores, strict=True)
        ]
        return Table(head=(self.title, *self.subjects), rows=lines)


def _scores(found: Measured, variant: str, prompt: str, after: str) -> dict[str, float]:
    rows = found.summary.where(
        metric="subject_fidelity", variant=variant, prompt=prompt, after=after
    )
    ordered = sorted(rows.records(), key=lambda row: row["step"])
    return {row["subject"]: row["value"] for row in ordered}


def ways_chart(panels: Sequence[Ways]) -> Figure:
    """The forgetting matrices side by side, and under each what else can be done.

    A row after each lesson, a column for each subject; what was just taught is framed. Darker is
    more alike.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    tall = max(len(one.rows) for one in panels)
    figure = Figure(figsize=(1.9 + 2.25 * len(panels), 1.4 + 0.5 * tall), layout="constrained")
    low = min(float(one.scores.min()) for one in panels)
    high = max(float(one.scores.max()) for one in panels)
    every: Any = np.atleast_1d(figure.subplots(1, len(panels)))
    for place, (axes, one) in enumerate(zip(every, panels, strict=True)):
        lessons = len(one.subjects)
        axes.imshow(one.scores, cmap="Blues", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
        for (row, column), score in np.ndenumerate(one.scores):
            dark = score > low + 0.6 * (high - low)
            axes.text(column, row, f"{score:.2f}", ha="center", va="center", fontsize=10,
                      color="white" if dark else "black")  # fmt: skip
        for lesson in range(lessons):
            axes.add_patch(Rectangle((lesson - 0.46, lesson + 0.54), 0.92, 0.92, fill=False,
                                     edgecolor="#D55E00", linewidth=2, zorder=3))  # fmt: skip
        for edge in (0.5, lessons + 0.5):
            axes.axhline(edge, color="white", linewidth=5)
        axes.set_xticks(range(lessons), one.subjects, fontsize=9)
        axes.xaxis.tick_top()
        names = [name.replace("two adapters, ", "adapters ") for name in one.rows]
        shown = names if not place else [
            name if name.startswith("after") else "" for name in names
        ]  # fmt: skip
        axes.set_yticks(range(len(names)), shown, fontsize=9)
        axes.set_title(one.title, fontsize=10, loc="left")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    figure.supxlabel("subject fidelity; framed: just taught", fontsize=8, color="#60646E")
    return figure
