"""Differences between arms, and the verdicts that follow from their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers.errors import ExperimentError
from helpers.experiments.effects import (
    BASE,
    above,
    below,
    contrast,
    difference,
    div_difference,
    kept_share,
    slope,
    values,
    within,
)
from helpers.experiments.intervals import Interval
from helpers.experiments.measured import COSTS, PICTURES, SUMMARY, Measured
from helpers.experiments.perceptual import diversity
from helpers.experiments.tidy import Tidy

RNG = np.random.default_rng(1)
NOISE = RNG.normal(0, 5, 12)
"""What the pictures of one noise have in common: far more than what the arms differ by."""


def rows(likeness: float, *, seeds: tuple = (0, 1, 2), **label: Any) -> list[dict[str, Any]]:
    usual = {"subject": "doppler", "variant": "off", "after": "doppler", "step": 100,
             "prompt": "class", "about": "class"}  # fmt: skip
    return [
        {**usual, "seed": seed, "picture": k, "likeness": likeness + noise, **label}
        for seed in seeds for k, noise in enumerate(NOISE)
    ]  # fmt: skip


def table(*parts: list[dict[str, Any]], distances: dict | None = None) -> Measured:
    found = [row for part in parts for row in part]
    return Measured(pictures=Tidy.of(PICTURES, found), summary=Tidy.of(SUMMARY, []),
                    costs=Tidy.of(COSTS, []), distances=distances or {})  # fmt: skip


TABLE = table(
    rows(0.5, seeds=(None,), step=0, after=""),
    rows(0.6, step=100), rows(0.7, step=200), rows(0.8, step=400),
    rows(0.55, step=400, variant="on"),
)  # fmt: skip


def test_what_pictures_have_in_common_falls_out_of_a_difference() -> None:
    arms = {"variant": "on", "step": 400}, {"variant": "off", "step": 400}
    found = difference(TABLE, "likeness", *arms)
    assert (found.value, found.low, found.high) == pytest.approx((-0.25,) * 3, abs=1e-5)
    assert difference(TABLE, "likeness", *arms[::-1]).value == pytest.approx(0.25, abs=1e-5)


def test_the_base_stands_beside_every_seed() -> None:
    found = difference(TABLE, "likeness", {"variant": "off", "step": 100}, BASE)
    assert found.value == pytest.approx(0.1, abs=1e-5)
    assert found.seeds == 3


def test_a_slope_is_the_rise_of_one_doubling() -> None:
    found = slope(TABLE, "likeness", (100, 200, 400), variant="off")
    assert found.value == pytest.approx(0.1, abs=1e-5)
    flat = contrast(TABLE, "likeness", [{"variant": "off", "step": 200}] * 2, [1, -1])
    assert flat.value == flat.low == flat.high == 0
    with pytest.raises(ExperimentError, match="two steps or more"):
        slope(TABLE, "likeness", (100,), variant="off")


@pytest.mark.parametrize(("late", "share"), [(0.8, 1.0), (0.5, 0.0), (0.65, 0.5), (0.4, -1 / 3)])
def test_the_share_that_is_kept_counts_from_the_base(late: float, share: float) -> None:
    label: Any = {"prompt": "subject", "about": "subject"}
    found = kept_share(
        table(rows(0.5, seeds=(None,), step=0, after="", **label), rows(0.8, **label),
              rows(late, after="fourier", **label)),
        {"variant": "off", "prompt": "subject", "after": "doppler"},
        {"variant": "off", "prompt": "subject", "after": "fourier"},
    )  # fmt: skip
    assert found.value == pytest.approx(share, abs=1e-4)


def test_arms_that_do_not_pair_up_or_were_not_measured_are_refused() -> None:
    other = table(rows(0.5, seeds=(7,)), rows(0.5, seeds=(8,), step=200))
    with pytest.raises(ExperimentError, match="do not pair up"):
        difference(other, "likeness", {"step": 100}, {"step": 200})
    with pytest.raises(ExperimentError, match="not measured there"):
        values(TABLE, "likeness", step=999)
    with pytest.raises(ExperimentError, match="several pictures of one noise"):
        values(TABLE, "likeness", step=400)


def test_the_difference_of_div_draws_the_same_pictures_in_both_arms() -> None:
    def distances(scale: float, seed: int) -> np.ndarray:
        points = np.random.default_rng(seed).normal(0, 1, (12, 3))
        return scale * np.linalg.norm(points[:, None] - points[None], axis=2)

    key = ("doppler", "{}", "doppler", 400, 0, "class", "class")
    kept = {
        (*key[:1], variant, *key[2:4], seed, *key[5:]): distances(scale, seed)
        for variant, scale in (("off", 1.0), ("on", 1.5)) for seed in (0, 1)
    }  # fmt: skip
    found = div_difference(table(distances=kept), {"variant": "on"}, {"variant": "off"})
    by_hand = np.mean([0.5 * diversity(distances(1.0, seed)) for seed in (0, 1)])
    assert found.value == pytest.approx(by_hand)
    assert 0 < found.low < found.value < found.high
    with pytest.raises(ExperimentError, match="DIV was not measured"):
        div_difference(table(distances=kept), {"variant": "on"}, {"variant": "other"})


def interval(low: float, high: float) -> Interval:
    return Interval(value=(low + high) / 2, low=low, high=high, level=0.95, seeds=3, pictures=9,
                    over="")  # fmt: skip


@pytest.mark.parametrize(("verdict", "low", "high", "said"), [
    (above(), 0.1, 0.2, "yes"), (above(), -0.2, -0.1, "no"), (above(), -0.1, 0.2, "unclear"),
    (above(0.15), 0.1, 0.2, "unclear"), (below(), -0.2, -0.1, "yes"), (below(), 0.1, 0.2, "no"),
    (below(), -0.1, 0.1, "unclear"), (within(0.05), -0.04, 0.04, "yes"),
    (within(0.05), 0.06, 0.2, "no"), (within(0.05), -0.2, -0.06, "no"),
    (within(0.05), -0.2, 0.2, "unclear"), (within(0.05), 0.01, 0.09, "unclear"),
])  # fmt: skip
def test_a_verdict_looks_at_the_whole_interval(verdict, low, high, said) -> None:
    assert verdict(interval(low, high)) == said
