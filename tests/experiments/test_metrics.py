"""Each metric against values worked out by hand, and against what must never change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments import metrics
from helpers.experiments.similarity import subject_fidelity
from tests.experiments.colours import ColourJudge, plain

JUDGE = ColourJudge()


def test_prompt_fidelity_is_the_mean_cosine_with_the_words() -> None:
    assert metrics.prompt_fidelity(JUDGE, plain("red", "red"), "a red sheet") == pytest.approx(1)
    half = metrics.prompt_fidelity(JUDGE, plain("red", "blue"), "a red sheet")
    assert half == pytest.approx(0.5, abs=1e-6)


def test_pres_rises_as_the_class_turns_into_the_subject() -> None:
    real, before, after = plain("red", "red"), plain("green", "blue"), plain("green", "red")
    assert metrics.pres(JUDGE, before, real) == pytest.approx(0, abs=1e-6)
    assert metrics.pres_change(JUDGE, after, before, real) == pytest.approx(0.5, abs=1e-6)
    assert metrics.pres_change(JUDGE, before, before, real) == 0


def test_drift_is_nothing_with_the_adapter_off_and_half_for_right_angles() -> None:
    base, tuned = plain("red", "green"), plain("red", "blue")
    assert metrics.language_drift(JUDGE, base, base) == pytest.approx(0, abs=1e-9)
    assert metrics.drifts(JUDGE, tuned, base) == pytest.approx([0, 0.5], abs=1e-6)
    change = metrics.agreement_change(JUDGE, plain("blue"), plain("red"), "a red sheet")
    assert change == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("metric", [
    lambda a, b: metrics.language_drift(JUDGE, a, b),
    lambda a, b: metrics.pres_change(JUDGE, a, b, plain("red")),
    lambda a, b: metrics.agreement_change(JUDGE, a, b, "a red sheet"),
])  # fmt: skip
def test_comparisons_need_pairs(metric: Callable[..., float]) -> None:
    with pytest.raises(ExperimentError, match=r"do not pair up.*2 and 1"):
        metric(plain("red", "red"), plain("red"))


def test_copies_of_training_pictures_show_as_memorisation() -> None:
    training, heldout = plain("red", "green"), plain("blue")
    assert metrics.memorisation_gap(JUDGE, plain("blue"), training, heldout) < 0
    copied = metrics.memorisation_gap(JUDGE, training, training, heldout)
    # Of two training pictures one is drawn, as there is one held out: it is the copied one in half
    # of the draws.
    assert copied == pytest.approx(0.5, abs=1e-6)


def test_more_training_than_held_out_pictures_are_no_advantage() -> None:
    """The same pictures on both sides: no gap, however many times one side shows them."""
    few = plain("red", "green", "blue")
    generated = plain("red", "green")
    assert metrics.memorisation_gap(JUDGE, generated, few, few) == pytest.approx(0, abs=1e-9)
    rng = np.random.default_rng(0)
    scores = rng.random((4000, 18))
    gaps = metrics.expected_best(scores[:, :16], 2) - metrics.expected_best(scores[:, 16:], 2)
    assert abs(gaps.mean()) < 0.01 < abs((scores[:, :16].max(1) - scores[:, 16:].max(1)).mean())


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.data())
def test_the_expected_best_is_the_mean_over_all_subsets(
    scores: list[float], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(scores)))
    by_hand = np.mean([max(some) for some in combinations(scores, count)])
    found = metrics.expected_best(np.array([scores]), count)
    assert found == pytest.approx([by_hand], abs=1e-9)


def test_identification_counts_pictures_that_are_most_like_their_own_subject() -> None:
    others = [plain("green"), plain("blue")]
    rate = metrics.identification_rate(JUDGE, plain("red", "red", "green"), plain("red"), others)
    assert rate == pytest.approx(2 / 3)
    tied = metrics.identified(JUDGE, plain("red", "green"), plain("red"), [plain("red")])
    assert tied.tolist() == [0, 0], "as like another is not told apart"


def test_attribute_accuracy_counts_what_was_asked_for() -> None:
    pictures = plain("red", "red", "blue", "green")
    assert metrics.attribute_accuracy(JUDGE, pictures, "colour", "red") == 0.5
    with pytest.raises(ExperimentError, match=r"no label 'place'.*colour"):
        metrics.attribute_accuracy(JUDGE, pictures, "place", "beach")


@pytest.mark.parametrize("metric", [
    lambda: subject_fidelity(JUDGE, [], plain("red")),
    lambda: subject_fidelity(JUDGE, plain("red"), []),
    lambda: metrics.prompt_fidelity(JUDGE, [], "a red sheet"),
    lambda: metrics.pres(JUDGE, [], plain("red")),
    lambda: metrics.language_drift(JUDGE, [], []),
    lambda: metrics.memorisation_gap(JUDGE, plain("red"), plain("red"), []),
    lambda: metrics.memorisation_gap(JUDGE, plain("red"), [], plain("red")),
    lambda: metrics.attribute_accuracy(JUDGE, [], "colour", "red"),
    lambda: metrics.identification_rate(JUDGE, [], plain("red"), [plain("blue")]),
    lambda: metrics.identification_rate(JUDGE, plain("red"), plain("red"), []),
])  # fmt: skip
def test_nothing_to_measure_is_refused(metric: Callable[[], float]) -> None:
    with pytest.raises(ExperimentError, match="too few"):
        metric()


@pytest.mark.parametrize("wrong", [2.0, float("nan")])
def test_vectors_that_give_no_cosines_are_refused(wrong: float) -> None:
    class Long(ColourJudge):
        def embed(self, pictures: Sequence[Image.Image]) -> Any:
            return super().embed(pictures) * torch.tensor(wrong)

    with pytest.raises(ExperimentError, match="not of unit length"):
        metrics.pres(Long(), plain("red"), plain("red"))
