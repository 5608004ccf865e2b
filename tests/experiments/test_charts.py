"""Figures show what the tables say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments.charts import Panel, curves, forgetting_chart, picture_grid
from helpers.experiments.forgetting import Forgetting
from helpers.experiments.measured import PICTURES, SUMMARY
from helpers.experiments.tidy import Tidy

STEPS = (0, 50, 100, 400)
PANELS = (Panel(question="Is it?", metric="pres", prompt="class"),
          Panel(question="Never measured", metric="div", prompt="class"))  # fmt: skip


def summary(subjects: tuple[str, ...] = ("doppler",), seeds: int = 3) -> Tidy:
    return Tidy.of(SUMMARY, [
        {"subject": subject, "variant": variant, "after": subject, "step": step, "prompt": "class",
         "about": "class", "metric": "pres", "value": step / 1000 + lift, "low": step / 1000,
         "high": step / 500 + lift, "seeds": seeds, "pictures": 8 * seeds, "over": ""}
        for subject in subjects for variant, lift in (("lora", 0.1), ("full", 0.2))
        for step in reversed(STEPS)
    ])  # fmt: skip


def test_each_variant_is_a_line_in_the_order_of_steps_with_its_band() -> None:
    (axes,) = (one for one in curves(summary(), panels=PANELS).axes if one.get_visible())
    assert axes.get_title(loc="left") == "Is it?"
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) == {"lora", "full"}
    assert list(lines["full"].get_xdata()) == list(STEPS)
    assert list(lines["full"].get_ydata()) == pytest.approx([0.2, 0.25, 0.3, 0.6])
    band = axes.collections[1].get_paths()[0].vertices
    assert band[:, 1].min() == 0 and band[:, 1].max() == pytest.approx(1.0)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["base", "50", "100", "400"]


def test_a_marked_step_stands_where_it_belongs() -> None:
    axes = curves(summary(), panels=PANELS, stop=100).axes[0]
    assert [100, 100] in [list(line.get_xdata()) for line in axes.get_lines()]


def test_one_seed_is_said_below_the_figure() -> None:
    def words(seeds: int) -> str:
        return curves(summary(seeds=seeds), panels=PANELS)._supxlabel.get_text()  # type: ignore[attr-defined]

    assert "one seed" in words(1)
    assert "3 seeds, 24 pictures a point" in words(3)


def test_an_unnamed_or_unknown_subject_and_nothing_to_draw_are_refused() -> None:
    two = summary(("doppler", "fourier"))
    assert curves(two, subject="fourier", panels=PANELS).axes
    for wrong in (None, "rex"):
        with pytest.raises(ExperimentError, match="doppler, fourier"):
            curves(two, subject=wrong, panels=PANELS)
    with pytest.raises(ExperimentError, match="nothing to draw"):
        curves(summary(), panels=PANELS[1:])


def test_of_a_sequence_one_lesson_is_drawn_and_must_be_named() -> None:
    lessons = [
        {**row, "after": after if row["step"] else "", "value": row["value"] + lift}
        for after, lift in (("doppler", 0.0), ("fourier", 5.0))
        for row in summary().records()
        if row["step"] or after == "doppler"
    ]
    table = Tidy.of(SUMMARY, lessons)
    line = curves(table, after="fourier", panels=PANELS).axes[0].get_lines()[0]
    assert list(line.get_ydata()) == pytest.approx([0.1, 5.15, 5.2, 5.5])
    for wrong in (None, "rex"):
        with pytest.raises(ExperimentError, match="doppler, fourier"):
            curves(table, after=wrong, panels=PANELS)


def test_the_grid_has_a_row_a_step_and_a_column_a_prompt(tmp_path: Path) -> None:
    colours = {0: (250, 0, 0), 50: (0, 250, 0), 100: (0, 0, 250)}
    records = []
    for seed in (None, 7, 8):
        for step, colour in colours.items():
            if (seed is None) != (step == 0):
                continue
            for prompt in ("subject", "class"):
                name = f"{seed}-{step}-{prompt}.png"
                shade = tuple(value // (2 if prompt == "class" else 1) for value in colour)
                Image.new("RGB", (64, 64), shade if seed != 8 else (9, 9, 9)).save(tmp_path / name)
                records.append({"subject": "doppler", "variant": "lora", "step": step,
                                "after": "doppler" if step else "", "seed": seed, "prompt": prompt,
                                "picture": 0, "file": name})  # fmt: skip
    table = Tidy.of(PICTURES, records)
    real = [Image.new("RGB", (64, 64), (200, 200, 0))]
    sheet = np.asarray(picture_grid(table, tmp_path, real=real, tile=64)).reshape(-1, 3)
    seen, places = np.unique(sheet, axis=0, return_index=True)
    order = {tuple(colour): place for colour, place in zip(seen.tolist(), places, strict=True)}
    wanted = [(200, 200, 0), (250, 0, 0), (0, 250, 0), (0, 0, 250)]
    assert sorted(wanted, key=order.__getitem__) == wanted, "downwards: real, base, 50, 100"
    assert order[(250, 0, 0)] < order[(125, 0, 0)], "the class stands right of the subject"
    assert (9, 9, 9) not in order, "another seed's pictures"
    other = np.asarray(picture_grid(table, tmp_path, seed=8, tile=64)).reshape(-1, 3)
    assert (other == 9).all(1).any()
    with pytest.raises(ExperimentError, match="no pictures to show"):
        picture_grid(table, tmp_path, variant="full")


def test_the_forgetting_chart_writes_every_score_that_is_known() -> None:
    scores = np.array([[0.8, np.nan], [0.3, 0.7]])
    axes = forgetting_chart(Forgetting(subjects=("doppler", "fourier"), scores=scores)).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.80", "0.30", "0.70"]
    assert [one.get_text() for one in axes.get_xticklabels()] == ["doppler\nlost +0.50", "fourier"]
