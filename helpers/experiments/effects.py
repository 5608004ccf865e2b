"""What a change does: differences between two arms of a sweep, picture by picture, with intervals.

Arms share noise, and seeds where both were trained: what pictures have in common falls out, and
the interval is that of the difference alone. An arm is named by columns of the tables, such as
``{"variant": "on", "step": 400}``; ``BASE`` is the untouched base.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.errors import ExperimentError
from helpers.experiments.intervals import Interval, bootstrap
from helpers.experiments.measured import LABEL, Measured
from helpers.experiments.perceptual import diversity

Arm = Mapping[str, Any]
BASE: Arm = {"step": 0}


def values(found: Measured, column: str, **arm: Any) -> dict[Any, np.ndarray]:
    """A column of ``pictures`` by seed of the training, in the order of the noise.

    Raises ``ExperimentError`` when nothing was measured there.
    """
    rows = found.pictures.where(**arm)
    groups: dict[Any, list[tuple[int, float]]] = defaultdict(list)
    for row in rows.records():
        if row[column] is not None:
            groups[row["seed"]].append((row["picture"], row[column]))
    if not groups:
        raise ExperimentError(
            f"{column} was not measured there",
            f"no picture has {', '.join(f'{key} {value}' for key, value in arm.items())}",
            "name subject, variant, step and prompt as the table does",
        )
    ordered = {seed: dict(sorted(some)) for seed, some in groups.items()}
    if any(len(ordered[seed]) < len(some) for seed, some in groups.items()):
        raise ExperimentError(
            "an arm names several pictures of one noise", "", "name its step, variant and lesson"
        )
    return {seed: np.array(list(some.values())) for seed, some in ordered.items()}


def paired(found: Measured, column: str, arms: Sequence[Arm]) -> list[np.ndarray]:
    """For each seed, pictures by arms: ``(pictures, arms)``. The base's stand beside every seed.

    Raises ``ExperimentError`` for arms whose seeds or pictures do not pair up.
    """
    columns = [values(found, column, **arm) for arm in arms]
    seeds = next((list(one) for one in columns if list(one) != [None]), [None])
    try:
        return [
            np.stack([one[seed] if seed in one else one[None] for one in columns], 1)
            for seed in seeds
        ]
    except (KeyError, ValueError):
        raise ExperimentError(
            "the arms do not pair up", "they have other seeds, or other numbers of pictures"
        ) from None


def contrast(
    found: Measured, column: str, arms: Sequence[Arm], weights: Sequence[float]
) -> Interval:
    """The weighted sum of a column's means over arms, such as a difference: weights 1 and -1."""
    weighted = np.asarray(weights, np.float64)
    return bootstrap([group @ weighted for group in paired(found, column, arms)])


def difference(found: Measured, column: str, arm: Arm, against: Arm) -> Interval:
    """A column's mean in one arm minus that in another."""
    return contrast(found, column, [arm, against], [1.0, -1.0])


def slope(found: Measured, column: str, steps: Sequence[int], **arm: Any) -> Interval:
    """How much a column's mean rises when the steps double: least squares over log2 of the steps.

    Raises ``ExperimentError`` for fewer than two steps.
    """
    if len(set(steps)) < 2:
        raise ExperimentError("a slope needs two steps or more", "", "paint at more of them")
    places = np.log2(np.asarray(steps, np.float64))
    weights = (places - places.mean()) / ((places - places.mean()) ** 2).sum()
    return contrast(found, column, [{**arm, "step": step} for step in steps], weights.tolist())


def div_difference(found: Measured, arm: Arm, against: Arm) -> Interval:
    """DIV in one arm minus DIV in another: the same pictures are drawn in both.

    Raises ``ExperimentError`` when nothing was measured there.
    """
    first, second = _distances(found, arm), _distances(found, against)
    seeds = [seed for seed in first if seed in second or None in second]
    if not seeds:
        raise ExperimentError("the arms do not pair up", "they have other seeds")
    pairs = [(first[seed], second[seed if seed in second else None]) for seed in seeds]
    count = len(pairs[0][0])
    places = [np.arange(count) + count * number for number in range(len(pairs))]
    whole = float(np.mean([diversity(one) - diversity(two) for one, two in pairs]))

    def statistic(groups: Sequence[np.ndarray]) -> float:
        changes = []
        for group in groups:
            number, picks = int(group[0]) // count, group.astype(int) % count
            if len(set(picks.tolist())) > 1:
                one, two = pairs[number]
                changes.append(diversity(one, picks) - diversity(two, picks))
        return float(np.mean(changes)) if changes else whole

    return bootstrap(places, statistic)


def kept_share(found: Measured, early: Arm, late: Arm, *, column: str = "likeness") -> Interval:
    """How much of what was learned is left: (late - base) / (early - base), 1 all, 0 nothing.

    ``early`` is just after the subject was taught, ``late`` after others were. Where nothing was
    learned the share is not defined; the interval is then wide.
    """
    base = {key: value for key, value in early.items() if key in ("subject", "variant", "prompt")}
    groups = paired(found, column, [late, early, {**base, **BASE}])
    return bootstrap(groups, _share)


def _share(groups: Sequence[np.ndarray]) -> float:
    late, early, base = np.mean([group.mean(0) for group in groups], 0)
    gained = early - base
    return float((late - base) / (gained if abs(gained) > 1e-6 else 1e-6))


def _distances(found: Measured, arm: Arm) -> dict[Any, np.ndarray]:
    wanted = {LABEL.index(name): value for name, value in arm.items()}
    kept = {
        key[LABEL.index("seed")]: matrix
        for key, matrix in found.distances.items()
        if all(key[place] == value for place, value in wanted.items())
    }
    if not kept:
        raise ExperimentError("DIV was not measured there", "", "name the arm as the table does")
    return kept


Verdict = Callable[[Interval], str]


def above(least: float = 0.0) -> Verdict:
    """``yes`` if the whole interval lies above, ``no`` if below, ``unclear`` if it straddles."""
    return lambda found: "yes" if found.low > least else "no" if found.high < least else "unclear"


def below(most: float = 0.0) -> Verdict:
    """The other way round."""
    return lambda found: "yes" if found.high < most else "no" if found.low > most else "unclear"


def within(margin: float) -> Verdict:
    """``yes`` if the whole interval lies within ``margin`` of 0: a difference that does not matter.

    An interval merely around 0 says nothing of that kind; it is ``unclear``.
    """

    def verdict(found: Interval) -> str:
        if -margin < found.low and found.high < margin:
            return "yes"
        return "no" if found.low > margin or found.high < -margin else "unclear"

    return verdict
