"""How sure is a number? Intervals by bootstrap, over trainings and the pictures of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import ExperimentError

RESAMPLES = 1000
Statistic = Callable[[Sequence[np.ndarray]], float]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number with the interval that holds it in ``level`` of cases.

    ``over`` says what was varied: with one seed "pictures only", and the interval then does not
    speak of another training; with several "seeds and pictures".
    """

    value: float
    low: float
    high: float
    level: float
    seeds: int
    pictures: int
    over: str

    def __str__(self) -> str:
        note = "" if self.seeds > 1 else f" ({self.over})"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]{note}"

    def holds_apart(self, value: float) -> bool:
        """Whether ``value`` lies outside."""
        return not self.low <= value <= self.high


def mean_of_means(groups: Sequence[np.ndarray]) -> float:
    """Mean over seeds of the mean over the pictures of each."""
    return float(np.mean([group.mean() for group in groups]))


def bootstrap(
    groups: Sequence[Sequence[float] | np.ndarray],
    statistic: Statistic = mean_of_means,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of ``statistic`` from values by seed of the training and, within it, picture.

    Hierarchical percentile bootstrap (Davison and Hinkley, "Bootstrap Methods and their
    Application", 1997, section 3.8): seeds are drawn with replacement, then pictures within each
    drawn seed. The same input gives the same interval. For a difference between two arms that
    share seeds and pictures, give the differences picture by picture: what they have in common
    falls out. With fewer than about five seeds the interval is rather too narrow.

    Raises ``ExperimentError`` for no seed, a seed without pictures, or values that are no numbers.
    """
    values = [np.asarray(group, np.float64) for group in groups]
    if not values or any(not len(group) for group in values):
        raise ExperimentError(
            "there is nothing to make an interval of",
            "no seed was given" if not values else "a seed has no pictures",
            "measure at least one picture of each seed",
        )
    if not all(np.isfinite(group).all() for group in values):
        raise ExperimentError("an interval cannot be made", "some values are not finite")
    if not 0 < level < 1 or resamples < 1:
        raise ExperimentError("an interval cannot be made", "level is above 0 and below 1")
    found = _redrawn(values, statistic, resamples, seed)
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(
        value=statistic(values),
        low=float(low),
        high=float(high),
        level=level,
        seeds=len(values),
        pictures=sum(len(group) for group in values),
        over="seeds and pictures" if len(values) > 1 else "pictures only",
    )


def _redrawn(
    values: Sequence[np.ndarray], statistic: Statistic, resamples: int, seed: int
) -> np.ndarray:
    """The statistic of each of ``resamples`` draws: shape ``(resamples,)``."""
    rng = np.random.default_rng(seed)
    counts = np.array([len(group) for group in values])
    seeds = rng.integers(len(values), size=(resamples, len(values)))
    sizes = counts[seeds][..., None]
    places = (rng.random((resamples, len(values), counts.max())) * sizes).astype(int)
    if statistic is not mean_of_means:
        draws = zip(seeds, places, strict=True)
        return np.array(
            [
                statistic([values[k][row[: counts[k]]] for k, row in zip(some, rows, strict=True)])
                for some, rows in draws
            ]
        )
    # The common case without a loop: a table of a sweep has hundreds of intervals.
    padded = np.zeros((len(values), counts.max()))
    for row, group in zip(padded, values, strict=True):
        row[: len(group)] = group
    taken = np.arange(counts.max()) < sizes
    sums = np.where(taken, padded[seeds[..., None], places], 0.0).sum(2)
    return (sums / counts[seeds]).mean(1)
