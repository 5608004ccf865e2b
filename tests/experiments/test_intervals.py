"""Intervals: they cover, they repeat, and they say what they do not know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import ExperimentError
from helpers.experiments.intervals import bootstrap, mean_of_means


def test_the_same_values_give_the_same_interval() -> None:
    groups = list(np.random.default_rng(0).normal(size=(3, 20)))
    assert bootstrap(groups) == bootstrap(groups)
    assert abs(bootstrap(groups, seed=1).low - bootstrap(groups).low) > 1e-6


def test_every_seed_counts_the_same_however_many_pictures_it_has() -> None:
    assert bootstrap([[0.0] * 30, [1.0]]).value == 0.5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=5), min_size=1, max_size=4))
def test_an_interval_stays_among_its_values(groups: list[list[float]]) -> None:
    found = bootstrap(groups, resamples=50)
    values = [value for group in groups for value in group]
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert (found.seeds, found.pictures) == (len(groups), len(values))


def test_means_are_taken_from_the_same_draws_as_any_other_statistic() -> None:
    groups = [np.linspace(0, 1, 7), np.linspace(2, 3, 4), np.array([0.5])]
    found = bootstrap(groups, resamples=300)
    other = bootstrap(groups, lambda drawn: mean_of_means(drawn), resamples=300)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=1e-12)


def test_seeds_that_differ_widen_the_interval_beyond_that_of_pictures() -> None:
    """The reason for the hierarchy: pictures of one training are not independent."""
    rng = np.random.default_rng(0)
    groups = [centre + rng.normal(0, 0.05, 40) for centre in (0.2, 0.5, 0.8)]
    pooled = bootstrap([np.concatenate(groups)])
    found = bootstrap(groups)
    assert found.high - found.low > 2 * (pooled.high - pooled.low)


def test_one_seed_speaks_of_pictures_only_and_says_so() -> None:
    one, two = bootstrap([[0.1, 0.3, 0.2]]), bootstrap([[0.1, 0.3, 0.2], [0.1, 0.2, 0.2]])
    assert (one.over, two.over) == ("pictures only", "seeds and pictures")
    assert "pictures only" in str(one) and "pictures only" not in str(two)


def test_ninety_five_in_a_hundred_hold_the_truth() -> None:
    """Many seeds and pictures around a known mean: the coverage is near what is promised."""
    rng = np.random.default_rng(1)
    hits = 0
    for draw in range(150):
        groups = rng.normal(0, 0.1, (10, 1)) + rng.normal(0, 0.2, (10, 8))
        hits += not bootstrap(list(groups), resamples=200, seed=draw).holds_apart(0.0)
    assert 0.85 <= hits / 150 <= 0.99


@pytest.mark.parametrize(
    ("groups", "why"),
    [([], "no seed"), ([[0.1], []], "a seed has no pictures"), ([[float("nan")]], "not finite")],
)
def test_nothing_to_go_on_is_refused(groups: list, why: str) -> None:
    with pytest.raises(ExperimentError, match=f"(?i){why}"):
        bootstrap(groups)
