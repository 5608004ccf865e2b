"""The forgetting matrix: by hand for three subjects."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.errors import ExperimentError
from helpers.experiments.forgetting import Forgetting

NAMES = ("doppler", "fourier", "riobugger")
SCORES = np.array([[0.8, 0.3, 0.1], [0.5, 0.7, 0.1], [0.4, 0.75, 0.6]])


def test_what_was_lost_is_the_diagonal_minus_the_last_row() -> None:
    found = Forgetting(subjects=NAMES, scores=SCORES)
    assert found.forgotten == pytest.approx({"doppler": 0.4, "fourier": -0.05})
    assert found.average_forgetting == pytest.approx(0.175)
    assert found.average == pytest.approx((0.4 + 0.75 + 0.6) / 3)


def test_separate_adapters_forget_nothing() -> None:
    apart = np.tile([0.8, 0.7, 0.6], (3, 1))
    found = Forgetting(subjects=NAMES, scores=apart)
    assert set(found.forgotten.values()) == {0.0} and found.average_forgetting == 0


def test_pairs_make_the_same_matrix_and_may_leave_the_future_out() -> None:
    pairs = {
        (measured, taught): float(SCORES[i, j])
        for i, taught in enumerate(NAMES)
        for j, measured in enumerate(NAMES)
        if j <= i
    }
    found = Forgetting.of(NAMES, pairs)
    assert found.forgotten == Forgetting(subjects=NAMES, scores=SCORES).forgotten
    assert "-" in str(found).splitlines()[2].split()


@pytest.mark.parametrize("place", [(0, 0), (2, 1)])
def test_a_score_that_is_needed_and_missing_is_refused(place: tuple[int, int]) -> None:
    holed = SCORES.copy()
    holed[place] = np.nan
    with pytest.raises(ExperimentError, match="cores are missing"):
        Forgetting(subjects=NAMES, scores=holed)


def test_one_subject_cannot_be_forgotten() -> None:
    with pytest.raises(ExperimentError, match="two subjects"):
        Forgetting(subjects=("doppler",), scores=np.ones((1, 1)))
    with pytest.raises(ExperimentError, match=r"shape \(2, 3\)"):
        Forgetting(subjects=NAMES, scores=np.ones((2, 3)))
