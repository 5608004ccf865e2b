"""What settings cost: a short job of each in a process of its own, timed from within.

A process of its own, because memory that was once held stays in the peak. The jobs run one after
another on one core.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from helpers.bases import BaseModel
from helpers.bench.lanes import Lanes, Task
from helpers.bench.machine import cores
from helpers.tables import Table, Tabular
from helpers.tuning.config import FineTuneConfig


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one step (the median, the first left out), seconds spent on class images before
    it, and the most memory that the process held, in bytes; on an accelerator, of that.

    ``training_bytes`` leaves out what the process held before the base was loaded.
    """

    step_s: float
    class_images_s: float
    peak_bytes: int
    training_bytes: int


@dataclass(frozen=True, kw_only=True, repr=False)
class Costs(Tabular):
    """By the name of the settings; the first is what the others are compared with."""

    found: Mapping[str, Cost]

    @property
    def table(self) -> Table:
        first = next(iter(self.found.values()))
        rows = [
            (name, f"{one.step_s:.3f} s", f"x{one.step_s / first.step_s:.2f}",
             f"{one.class_images_s:.1f} s", f"{one.peak_bytes / 1e6:.0f} MB",
             f"{(one.peak_bytes - first.peak_bytes) / 1e6:+.0f} MB")
            for name, one in self.found.items()
        ]  # fmt: skip
        return Table(
            head=("settings", "a step", "", "class images, once", "memory at most", ""), rows=rows
        )


def measure_costs(
    settings: Mapping[str, Mapping[str, Any]], photos: Sequence[Path], base: BaseModel,
    work: Path, *, steps: int,
) -> Costs:  # fmt: skip
    """Fine-tune for ``steps`` with each of ``settings`` (changes to the course's recipe).

    ``work`` is theirs and goes when all is done. Raises ``TrainingError`` when a job fails and
    ``ConfigError`` for settings that are none.
    """
    chain = [
        Task(
            module="helpers.bench.job",
            folder=work / f"job-{number}",
            given={
                "base": str(base.folder),
                "random": False,
                "config": FineTuneConfig.for_base(
                    base, **{**changes, "n_steps": steps}
                ).to_mapping(),
                "photos": [str(path) for path in photos],
                "bank": "",
                "adapter": str(work / f"job-{number}" / "adapter"),
            },
            gpu=True,
        )
        for number, changes in enumerate(settings.values())
    ]
    # As many lanes as cores, so that the one in use has one core: two threads that share theirs
    # with other work slow each other ten-fold.
    answers = Lanes(count=len(cores())).run({"costs": chain})["costs"]
    shutil.rmtree(work, ignore_errors=True)
    return Costs(found={name: _cost(one) for name, one in zip(settings, answers, strict=True)})


def _cost(answer: Mapping[str, Any]) -> Cost:
    ends = answer["step_seconds"]
    steps = [after - before for before, after in pairwise(ends)]
    on_gpu = answer["gpu_peak_bytes"]
    peak = on_gpu or answer["peak_bytes"]
    return Cost(
        step_s=median(steps or ends),
        class_images_s=answer["stages"]["priors"]["wall"],
        peak_bytes=peak,
        training_bytes=peak if on_gpu else peak - answer["peak_before_bytes"],
    )
