"""Figures of a sweep: curves with intervals, a grid of pictures, and the forgetting matrix.

All take the tidy tables of ``measure`` and return a figure or a picture, to show or to save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments.forgetting import Forgetting
from helpers.experiments.tidy import Tidy
from helpers.ui.sheets import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette, told apart by every kind of colour vision."""
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#60646E"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One question of a figure: which metric of which prompt answers it.

    ``better`` says in words which way is better.
    """

    question: str
    metric: str
    prompt: str
    better: str = ""


PANELS = (
    Panel(question="Is it the subject?", metric="subject_fidelity", prompt="subject",
          better="higher is more alike"),
    Panel(question="Does it still go to the beach?", metric="attribute_accuracy",
          prompt="on the beach", better="1 is always"),
    Panel(question="Is its class still itself?", metric="pres", prompt="class",
          better="lower is freer"),
    Panel(question="Do class pictures differ?", metric="div", prompt="class",
          better="higher is more diverse"),
    Panel(question="Is another class left alone?", metric="language_drift", prompt="a cat",
          better="0 is untouched"),
    Panel(question="Does it repeat its photos?", metric="memorisation_gap", prompt="subject",
          better="above 0 it does"),
)  # fmt: skip
"""The questions of a sweep over steps, for the prompts of ``FOUR_PROMPTS``."""


def curves(
    summary: Tidy, *, subject: str | None = None, after: str | None = None,
    panels: Sequence[Panel] = PANELS, stop: int | None = None, title: str = "",
    lines: str = "variant",
) -> Figure:  # fmt: skip
    """Each panel's metric by step, a line for each variant, its interval as a band.

    With ``lines="subject"`` the lines are those of the subjects of one variant. Step 0 is the base.
    ``stop`` marks a step, such as the one a learner would stop at. Of a sweep in sequence,
    ``after`` names the lesson to draw. Panels for which nothing was measured are left out. Raises
    ``ExperimentError`` if that is all of them, and when the table has several subjects or lessons
    and none is named.
    """
    from matplotlib.figure import Figure

    if lines == "subject":
        rows = _of_lesson(summary, after, several=True)
    else:
        rows = _of_lesson(summary.where(subject=_the_one(summary, subject)), after)
    found = [(one, rows.where(metric=one.metric, prompt=one.prompt)) for one in panels]
    found = [(panel, part) for panel, part in found if len(part)]
    if not found:
        raise ExperimentError(
            "there is nothing to draw",
            "none of the panels' metrics was measured for its prompt",
            "name panels for the prompts of the sweep",
        )
    across = min(len(found), 3)
    down = -(-len(found) // across)
    figure = Figure(figsize=(3.7 * across, 2.75 * down + 0.5), layout="constrained")
    grid_of = np.atleast_1d(figure.subplots(down, across)).ravel()
    for axes, (panel, part) in zip(grid_of, found, strict=False):
        _panel(axes, panel, part, stop, lines)
    for axes in grid_of[len(found) :]:
        axes.set_visible(False)
    handles, names = grid_of[0].get_legend_handles_labels()
    if len(names) > 1:
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False,
                      title=title or None)  # fmt: skip
    elif title:
        figure.suptitle(title, fontsize=11)
    figure.supxlabel(_basis([part for _, part in found]), fontsize=8, color=GREY)
    return figure


def _panel(axes: Any, panel: Panel, rows: Tidy, stop: int | None, lines: str) -> None:
    steps = sorted(rows.values("step"))
    for place, name in enumerate(rows.values(lines)):
        points = sorted(rows.where(**{lines: name}).records(), key=lambda row: row["step"])
        x = [row["step"] for row in points]
        colour = COLOURS[place % len(COLOURS)]
        axes.fill_between(
            x, [row["low"] for row in points], [row["high"] for row in points],
            color=colour, alpha=0.18, linewidth=0,
        )  # fmt: skip
        axes.plot(
            x, [row["value"] for row in points], color=colour, linewidth=1.8, markersize=4,
            marker=MARKERS[place % len(MARKERS)], label=name,
        )  # fmt: skip
    if stop is not None:
        axes.axvline(stop, color=GREY, linewidth=1, linestyle="--")
    positive = [step for step in steps if step]
    if len(positive) > 1:
        # Doublings at equal distances, and the base one such distance before the first.
        ratio = max(min(after / before for before, after in pairwise(positive)), 1.1)
        axes.set_xscale("symlog", base=ratio, linthresh=positive[0], linscale=1 - 1 / ratio)
    axes.set_xticks(steps, [str(step) if step else "base" for step in steps], fontsize=8)
    axes.minorticks_off()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title(panel.question, fontsize=10, loc="left")
    metric = panel.metric.replace("_", " ")
    shown = metric.upper() if metric in ("pres", "div") else metric
    axes.set_ylabel(f"{shown}\n({panel.better})" if panel.better else shown, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _basis(parts: Sequence[Tidy]) -> str:
    """What the intervals rest on, in words."""
    trained = [row for part in parts for row in part.records() if row["step"]]
    seeds = {row["seeds"] for row in trained}
    if not trained:
        return "step; the base alone"
    over = "seeds and pictures" if min(seeds) > 1 else "pictures only: one seed"
    count = f"{min(seeds)} seeds, " if min(seeds) > 1 else ""
    most = max(row["pictures"] for row in trained)
    return f"steps; bands: 95% intervals over {over} ({count}{most} pictures a point)"


def picture_grid(
    pictures: Tidy, store: Path, *, subject: str | None = None, variant: str | None = None,
    seed: int | None = None, each: int = 1, real: Sequence[Image.Image] = (), tile: int = 112,
) -> Image.Image:  # fmt: skip
    """Pictures by step downwards and prompt across, ``each`` of a prompt, from the same noise.

    By default the first variant and seed. ``real`` pictures of the subject, if given, are the top
    row. Raises ``ExperimentError`` when nothing fits, or the subject must be named.
    """
    rows = pictures.where(subject=_the_one(pictures, subject))
    rows = rows.where(variant=variant or (rows.values("variant") or [None])[0])
    seeds = [one for one in rows.values("seed") if one is not None]
    chosen = seed if seed is not None else (seeds or [None])[0]
    kept = [row for row in rows.records() if row["seed"] in (None, chosen)]
    prompts = list(dict.fromkeys(row["prompt"] for row in kept))
    places = {
        (row["after"], row["step"], row["prompt"], row["picture"]): row["file"] for row in kept
    }
    marks = list(dict.fromkeys((row["after"], row["step"]) for row in kept))
    if not kept:
        raise ExperimentError("there are no pictures to show", "", "name a variant of the sweep")
    columns = [(prompt, number) for prompt in prompts for number in range(each)]
    lines: list[list[Image.Image | None]] = []
    for mark in marks:
        files = [places.get((*mark, *column)) for column in columns]
        lines.append([Image.open(store / file) if file else None for file in files])
    labels = [_mark(after, step, several=len(set(rows.values("after")) - {""}) > 1)
              for after, step in marks]  # fmt: skip
    if real:
        lines.insert(0, list(real[: len(columns)]))
        labels.insert(0, "instance images")
    heads = [prompt if not number else "" for prompt, number in columns]
    return grid(lines, labels, heads, tile=tile)


def arm_grid(
    pictures: Tidy, store: Path, arms: Mapping[str, Mapping[str, Any]], *, count: int = 8,
    tile: int = 112,
) -> Image.Image:  # fmt: skip
    """A row for each arm, ``count`` pictures across, each column from one noise.

    ``arms`` are columns of the table by the row's label, such as ``{"off": {"variant": "off",
    "step": 400, "prompt": "class"}}``. Raises ``ExperimentError`` when nothing fits one of them.
    """
    lines = []
    for label, arm in arms.items():
        rows = sorted(pictures.where(**arm).records(), key=lambda row: row["picture"])
        chosen = [row for row in rows if row["seed"] == rows[0]["seed"]][:count]
        if not chosen:
            raise ExperimentError(f"there are no pictures of {label}", "", "name it as the table")
        lines.append([Image.open(store / row["file"]) for row in chosen])
    return grid(lines, list(arms), tile=tile)


def forgetting_chart(found: Forgetting, *, title: str = "") -> Figure:
    """The matrix as a picture: a row after each subject taught, a column for each one measured."""
    from matplotlib.figure import Figure

    count = len(found.subjects)
    figure = Figure(figsize=(1.6 + 1.15 * count, 1.5 + 0.8 * count), layout="constrained")
    axes: Any = figure.subplots()
    shown = np.ma.masked_invalid(found.scores)
    axes.imshow(shown, cmap="Blues", vmin=0, vmax=max(1.0, float(shown.max())), aspect="auto")
    for i in range(count):
        for j in range(count):
            score = found.scores[i, j]
            if np.isfinite(score):
                axes.text(j, i, f"{score:.2f}", ha="center", va="center", fontsize=10,
                          color="white" if score > 0.6 else "black")  # fmt: skip
    lost = [f"{name}\nlost {found.forgotten[name]:+.2f}" if name in found.forgotten else name
            for name in found.subjects]  # fmt: skip
    axes.set_xticks(range(count), lost, fontsize=9)
    axes.set_yticks(range(count), [f"after {name}" for name in found.subjects], fontsize=9)
    axes.set_title(
        title or f"Average forgetting {found.average_forgetting:.2f}", fontsize=10, loc="left"
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _the_one(table: Tidy, subject: str | None) -> str:
    names = table.values("subject")
    found = names[0] if subject is None and len(names) == 1 else subject
    if found is None or found not in names:
        raise ExperimentError(
            "the subject is not named" if subject is None else f"there is no subject {subject!r}",
            f"the table has {', '.join(names) or 'none'}",
            "name one of them",
        )
    return found


def _of_lesson(rows: Tidy, after: str | None, *, several: bool = False) -> Tidy:
    if several and after is None:
        return rows
    lessons = [one for one in rows.values("after") if one]
    if (after is None and len(lessons) > 1) or (after is not None and after not in lessons):
        raise ExperimentError(
            "the lesson is not named",
            f"the subjects were taught in sequence: {', '.join(lessons) or 'none'}",
            "name one of them as after, or draw the forgetting matrix",
        )
    wanted = ("", after or (lessons or [""])[0])
    return Tidy.of(rows.columns, (row for row in rows.records() if row["after"] in wanted))


def _mark(after: str, step: int, *, several: bool) -> str:
    if not step:
        return "base"
    steps = f"{step} step{'s' * (step != 1)}"
    return f"{after}, {steps}" if several else steps
