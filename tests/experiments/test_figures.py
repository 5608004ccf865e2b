"""Signs to stop at, prior effects beside the paper, and all ways of teaching two subjects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from helpers.errors import ExperimentError
from helpers.experiments.effects import BASE
from helpers.experiments.intervals import Interval
from helpers.experiments.measured import COSTS, PICTURES, SUMMARY, Measured
from helpers.experiments.plans import LORA, at_rate, watched
from helpers.experiments.prior_effect import PUBLISHED, beside_the_paper
from helpers.experiments.stopping import ALIKE, HELD_OUT, PROMPT, where_to_stop
from helpers.experiments.tidy import Tidy
from helpers.experiments.ways import COMBINED_ROW, SWAPPED, TOGETHER, Ways, ways_chart

STEPS = {0: (0.2, 0.80, None), 50: (0.5, 0.80, 0.30), 100: (0.8, 0.79, 0.20),
         200: (0.9, 0.60, 0.10), 400: (0.7, 0.79, 0.15)}  # fmt: skip
"""Fidelity, agreement on the beach and held-out loss by step: the beach suffers at 200."""


@pytest.fixture
def found() -> Measured:
    label = {"subject": "doppler", "variant": "LoRA"}
    pictures, summary, costs = [], [], []
    for step, (alike, beach, loss) in STEPS.items():
        seed = 0 if step else None
        for k in range(4):
            pictures.append({**label, "step": step, "seed": seed, "picture": k,
                             "prompt": "on the beach", "agreement": beach + k / 100})  # fmt: skip
        for metric, prompt, value in (("subject_fidelity", "subject", alike),
                                      ("prompt_fidelity", "on the beach", beach)):  # fmt: skip
            summary.append({**label, "step": step, "metric": metric, "prompt": prompt,
                            "value": value})  # fmt: skip
        costs.append({"variant": "LoRA", "step": step, "seed": seed, "held_out_loss": loss})
    return Measured(pictures=Tidy.of(PICTURES, pictures), summary=Tidy.of(SUMMARY, summary),
                    costs=Tidy.of(COSTS, costs))  # fmt: skip


def test_each_sign_says_its_own_step_and_shows_its_numbers(found: Measured) -> None:
    stops = where_to_stop(found, mine=50, variant="LoRA")
    assert [one.step for one in stops.stops] == [50, 200, 200, 100]
    assert stops.step_of(HELD_OUT) == stops.step_of(ALIKE) == 200
    assert stops.step_of(PROMPT) == 100, "step 400 comes after the beach has suffered"
    assert stops.table.rows[0] == ("you", "50", "0.500", "0.800", "0.300")
    assert "never" not in str(stops)


def test_without_held_out_photos_that_sign_says_nothing(found: Measured) -> None:
    blind = Measured(pictures=found.pictures, summary=found.summary, costs=Tidy.of(COSTS, []))
    assert where_to_stop(blind, variant="LoRA").step_of(HELD_OUT) is None
    with pytest.raises(ExperimentError, match=r"(?i)nothing was painted at step 60"):
        where_to_stop(found, mine=60, variant="LoRA")


def test_prior_effects_stand_beside_the_papers() -> None:
    one = Interval(value=-0.1, low=-0.2, high=0.05, level=0.95, seeds=3, pictures=9, over="")
    compared = beside_the_paper({"doppler": dict.fromkeys(PUBLISHED, one)})
    assert compared.table.head == ("on minus off", "published", "doppler")
    assert compared.table.rows[0] == ("PRES", "-0.171", "-0.100 [-0.200, +0.050]")
    panels = compared.chart().axes
    assert [axes.get_title(loc="left").partition("\n")[0] for axes in panels] == list(PUBLISHED)


def way(rows: dict[tuple[str, str], float]) -> Measured:
    """``{(measured, after): fidelity}``; every subject has 0.2 under the base."""
    names = dict.fromkeys(name for name, _ in rows)
    whole = {**{(name, ""): 0.2 for name in names}, **rows}
    label: dict[str, Any] = {"variant": "LoRA", "metric": "subject_fidelity", "prompt": "subject"}
    records = [{**label, "subject": name, "after": after, "step": 9 if after else BASE["step"],
                "value": value} for (name, after), value in whole.items()]  # fmt: skip
    return Measured(pictures=Tidy.of(PICTURES, []), summary=Tidy.of(SUMMARY, records),
                    costs=Tidy.of(COSTS, []))  # fmt: skip


def ways() -> Ways:
    return Ways.of(
        sequence=way({("a", "a"): 0.8, ("b", "a"): 0.3, ("a", "b"): 0.35, ("b", "b"): 0.7}),
        adapters=way({("a", "a"): 0.8, ("b", "a"): 0.3, ("a", "b"): 0.8, ("b", "b"): 0.7,
                      ("a", "combined"): 0.5, ("b", "combined"): 0.6}),
        together=way({("a", "a and b"): 0.74, ("b", "a and b"): 0.65}),
        variant="LoRA",
    )  # fmt: skip


def test_all_ways_are_compared_by_the_share_that_is_kept() -> None:
    found = ways()
    assert found.rows == ("base", "after a", "after b", TOGETHER, SWAPPED, COMBINED_ROW)
    assert found.scores[:, 0] == pytest.approx([0.2, 0.8, 0.35, 0.74, 0.8, 0.5])
    kept = [found.kept(row)["a"] for row in found.rows]
    assert kept == pytest.approx([0, 1, 0.25, 0.9, 1, 0.5])


def test_the_chart_of_all_ways_writes_every_score_and_frames_what_was_just_taught() -> None:
    figure = ways_chart([ways(), ways()])
    for axes in figure.axes:
        shown = [text.get_text() for text in axes.texts]
        assert shown == [f"{score:.2f}" for score in ways().scores.ravel()]
        framed = [one for one in axes.patches if isinstance(one, Rectangle)]
        frames = [(one.get_x() + 0.46, one.get_y() + 0.46) for one in framed]
        assert np.allclose(frames, [(0, 1), (1, 2)])


def test_sweeps_of_other_subjects_are_not_compared() -> None:
    other = way({("a", "a and c"): 0.7, ("c", "a and c"): 0.6})
    good = way({("a", "a"): 0.8, ("b", "a"): 0.3, ("a", "b"): 0.3, ("b", "b"): 0.7,
                ("a", "combined"): 0.5, ("b", "combined"): 0.6})  # fmt: skip
    with pytest.raises(ExperimentError, match="taught other subjects"):
        Ways.of(sequence=good, adapters=good, together=other, variant="LoRA")


def test_variants_keep_their_names_and_the_usual_rate_is_the_usual_cell(tiny) -> None:
    assert at_rate(tiny, 1).changes == LORA.changes
    slow, fast = at_rate(tiny, 0.25).changes, at_rate(tiny, 4).changes
    for key in ("learning_rate", "token_learning_rate"):
        assert fast[key] == pytest.approx(16 * slow[key])
    assert watched(LORA).name == LORA.name
    assert watched(LORA).changes["heldout_images"] == 2
