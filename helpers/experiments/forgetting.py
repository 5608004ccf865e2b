"""One subject after another: how much of the earlier ones is left?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import ExperimentError
from helpers.tables import Table, Tabular


@dataclass(frozen=True, kw_only=True, repr=False)
class Forgetting(Tabular):
    """Subjects in the order in which they were taught, and S(j|i): ``scores[i, j]``.

    S(j|i) is the fidelity of subject j after subject i was taught; NaN where it was not measured.
    The notation is that of continual personalisation (C-LoRA, arXiv 2304.06027); the average is
    continual learning's "average forgetting".
    """

    subjects: tuple[str, ...]
    scores: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.subjects)
        if count < 2:
            raise ExperimentError(
                "forgetting needs two subjects or more", f"{count} were given", "teach another one"
            )
        if self.scores.shape != (count, count):
            raise ExperimentError(
                f"the scores of {count} subjects have the shape {self.scores.shape}",
                "",
                "give one row for each subject taught, one column for each subject measured",
            )
        needed = np.append(np.diag(self.scores), self.scores[-1])
        if not np.isfinite(needed).all():
            raise ExperimentError(
                "scores are missing",
                "forgetting compares S(j|j), the diagonal, with S(j|N), the last row",
                "measure every subject when it was just taught, and at the end",
            )

    @classmethod
    def of(cls, subjects: Sequence[str], scores: Mapping[tuple[str, str], float]) -> Forgetting:
        """From ``{(measured j, taught last i): S(j|i)}``. Raises ``ExperimentError``."""
        table = [[scores.get((j, i), np.nan) for j in subjects] for i in subjects]
        return cls(subjects=tuple(subjects), scores=np.array(table, np.float64))

    @property
    def forgotten(self) -> dict[str, float]:
        """F_j = S(j|j) - S(j|N) for every subject but the last; above 0 something was lost."""
        lost = np.diag(self.scores) - self.scores[-1]
        return {name: float(lost[j]) for j, name in enumerate(self.subjects[:-1])}

    @property
    def average_forgetting(self) -> float:
        """Mean of F_j over j < N."""
        return float(np.mean(list(self.forgotten.values())))

    @property
    def average(self) -> float:
        """Mean over j of S(j|N): how well all subjects are known in the end."""
        return float(self.scores[-1].mean())

    @property
    def table(self) -> Table:
        rows = [
            (f"after {name}", *("-" if np.isnan(one) else f"{one:.3f}" for one in row))
            for name, row in zip(self.subjects, self.scores, strict=True)
        ]
        return Table(
            head=("S(j|i)", *self.subjects),
            rows=rows,
            notes=[
                f"Average at the end {self.average:.3f}, "
                f"average forgetting {self.average_forgetting:.3f}."
            ],
        )
