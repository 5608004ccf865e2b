"""DIV and the distances behind it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments.perceptual import (
    diversity,
    diversity_interval,
    perceptual_distances,
    pixel_distances,
)
from helpers.pocket.judge import Judge
from tests.experiments.colours import ColourJudge, noisy, plain


def test_orthogonal_colours_are_two_apart_at_each_depth() -> None:
    found = perceptual_distances(ColourJudge(), plain("red", "blue", "red"))
    assert found == pytest.approx(np.array([[0, 4, 0], [4, 0, 4], [0, 4, 0]]), abs=1e-6)


def test_the_pocket_judge_s_distance_is_lpips_without_weights() -> None:
    """Against the formula written out for one pair, on random weights."""
    judge, pair = Judge().eval(), noisy((120, 80, 60), 2)
    by_hand = 0.0
    stages = judge.stages(pair)
    assert [tuple(grid.shape[2:]) for grid in stages] == [(32, 32), (16, 16), (8, 8), (4, 4)]
    for grid in stages:
        first, second = (one / one.norm(dim=0, keepdim=True) for one in grid)
        by_hand += float(((first - second) ** 2).sum(0).mean())
    found = perceptual_distances(judge, pair)
    assert found[0, 1] == pytest.approx(by_hand, rel=1e-4)
    assert (found == found.T).all() and not found.diagonal().any()


def test_pixel_distance_runs_from_same_to_black_against_white() -> None:
    black, white = Image.new("RGB", (40, 30)), Image.new("RGB", (40, 30), "white")
    assert pixel_distances([black, white], [black]) == pytest.approx(np.array([[0], [1]]))
    grey = Image.new("RGB", (9, 9), (51, 51, 51))
    assert pixel_distances([grey], [black])[0, 0] == pytest.approx(0.2)


def test_the_small_copies_see_composition_where_details_average_out() -> None:
    stripes = Image.fromarray(np.uint8(np.indices((64, 64))[1] % 2 * 255)).convert("RGB")
    halves = Image.fromarray(np.uint8(np.indices((64, 64))[1] // 32 * 255)).convert("RGB")
    grey = Image.new("RGB", (64, 64), (127, 127, 127))
    fine, coarse = pixel_distances([stripes, halves], [grey])[:, 0]
    assert fine < 0.01 and coarse == pytest.approx(0.5, abs=0.01)


def test_diversity_is_the_mean_over_pairs_and_needs_one() -> None:
    distances = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], float)
    assert diversity(distances) == 2
    # A picture drawn twice is no pair of two pictures.
    assert diversity(distances, np.array([0, 0, 1])) == 1
    for none in (distances[:1, :1], distances[:0, :0]):
        with pytest.raises(ExperimentError, match="fewer than two"):
            diversity(none)


def test_same_pictures_are_less_diverse_than_different_ones() -> None:
    judge = ColourJudge()
    alike = [perceptual_distances(judge, noisy((90, 90, 90), 1, s) * 6) for s in range(3)]
    varied = [perceptual_distances(judge, noisy((90, 90, 90), 6, s)) for s in range(3)]
    assert diversity_interval(alike).high < 1e-9 < diversity_interval(varied).low
    found = diversity_interval(varied, resamples=200)
    assert found.value == pytest.approx(np.mean([diversity(one) for one in varied]))
    assert found.low < found.value < found.high
    assert (found.seeds, found.pictures) == (3, 18)


def test_two_pictures_a_seed_are_enough() -> None:
    found = diversity_interval([np.array([[0.0, 2.0], [2.0, 0.0]])], resamples=50)
    assert (found.value, found.low, found.high) == (2, 2, 2)
    with pytest.raises(ExperimentError, match="too few pictures"):
        diversity_interval([np.zeros((1, 1))])
