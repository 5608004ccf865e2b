"""What was measured of a sweep: tidy tables, and the way to a folder and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import ExperimentError
from helpers.experiments.forgetting import Forgetting
from helpers.experiments.tidy import NO_PARQUET, Tidy

LABEL = ("subject", "variant", "after", "step", "seed", "prompt", "about")
"""What the pictures of one prompt by one training at one mark have in common."""
PICTURES = (
    *LABEL, "picture", "likeness", "likeness_change", "agreement", "agreement_change", "drift",
    "nearest_gap", "identified", "right", "file", "digest",
)  # fmt: skip
SUMMARY = (
    "subject", "variant", "after", "step", "prompt", "about", "metric", "value", "low", "high",
    "seeds", "pictures", "over",
)  # fmt: skip
COSTS = (
    "variant", "after", "step", "seed", "instance_loss", "prior_loss", "held_out_loss",
    "training_s", "painting_s", "cell",
)  # fmt: skip
DISTANCES = (*LABEL, "first", "second", "distance")

_KINDS: Mapping[str, type] = {
    **dict.fromkeys(
        ("subject", "variant", "after", "prompt", "about", "metric", "over", "file", "digest",
         "cell"), str),
    **dict.fromkeys(("step", "seed", "picture", "seeds", "pictures", "first", "second"), int),
}  # fmt: skip
"""Columns that hold no fractions."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """``pictures`` has one row a picture, ``summary`` one a metric with its interval, ``costs`` one
    a mark: losses, and seconds of the whole cell. All but ``costs`` depend on the pictures alone.

    ``subject`` is who was measured, ``after`` who was taught last; step 0 is the base, whose seed
    is ``None``. ``likeness_change`` and the like are differences to the base, from the same noise;
    ``identified`` is 1 if the picture is more like its subject than like any other of the sweep;
    ``digest`` is the beginning of the picture file's SHA-256. ``distances`` are those behind DIV:
    all pairs of each training's pictures of a prompt, by ``LABEL``.
    """

    pictures: Tidy
    summary: Tidy
    costs: Tidy
    distances: Mapping[tuple[Any, ...], np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def tables(self) -> dict[str, Tidy]:
        """The tables by name, and as a fourth the distances of class prompts, a row a pair."""
        pairs = Tidy.of(DISTANCES, _pairs(self.distances))
        return {
            "pictures": self.pictures, "summary": self.summary, "costs": self.costs,
            "distances": pairs,
        }  # fmt: skip

    def save(self, folder: Path) -> tuple[list[Path], str]:
        """Write every table as CSV and, where pyarrow is installed, as parquet.

        The second result says so in words if it is not, and is empty otherwise.
        """
        tables = self.tables
        paths = [table.write_csv(folder / f"{name}.csv") for name, table in tables.items()]
        try:
            paths += [one.write_parquet(folder / f"{name}.parquet") for name, one in tables.items()]
        except ExperimentError:
            return paths, NO_PARQUET
        return paths, ""

    @classmethod
    def read(cls, folder: Path, ending: str = ".csv") -> Measured:
        """What was written to that folder as CSV: all of it, of the distances those of class
        prompts. Raises ``ExperimentError`` for a table that is missing or damaged.
        """
        pictures, summary, costs, pairs = (
            Tidy.read_csv(folder / f"{name}{ending}", _KINDS)
            for name in ("pictures", "summary", "costs", "distances")
        )
        return cls(pictures=pictures, summary=summary, costs=costs, distances=_matrices(pairs))

    def forgetting(self, variant: str, prompt: str) -> Forgetting:
        """The forgetting matrix of a sweep in sequence: fidelity at each lesson's last step.

        Raises ``ExperimentError`` for a sweep of fewer than two subjects in sequence.
        """
        rows = self.summary.where(variant=variant, prompt=prompt, metric="subject_fidelity")
        scores: dict[tuple[str, str], float] = {}
        for row in sorted(rows.records(), key=lambda row: row["step"]):
            scores[row["subject"], row["after"]] = row["value"]
        order = [name for name in rows.values("after") if name in rows.values("subject")]
        return Forgetting.of(order, scores)


def _pairs(distances: Mapping[tuple[Any, ...], np.ndarray]) -> Iterator[dict[str, Any]]:
    for key, matrix in distances.items():
        label = dict(zip(LABEL, key, strict=True))
        if label["about"] == "class":
            for first, second in combinations(range(len(matrix)), 2):
                distance = matrix[first, second]
                yield {**label, "first": first, "second": second, "distance": distance}


def _matrices(pairs: Tidy) -> dict[tuple[Any, ...], np.ndarray]:
    groups: dict[tuple[Any, ...], list[tuple[int, int, float]]] = defaultdict(list)
    for *key, first, second, distance in pairs.rows:
        groups[tuple(key)].append((first, second, distance))
    matrices = {}
    for key, triples in groups.items():
        matrices[key] = np.zeros((1 + max(second for _, second, _ in triples),) * 2)
        for first, second, distance in triples:
            matrices[key][first, second] = matrices[key][second, first] = distance
    return matrices
