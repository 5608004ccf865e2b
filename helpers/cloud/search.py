"""A small search over learning rate and steps: parallel training jobs, and a score for each.

What SageMaker's automatic model tuning does with a Bayesian rule, over a handful of values that one
can read. A job measures itself every so many steps, so one job for each rate tells of all steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from helpers.cloud.session import Cloud
from helpers.cloud.training_jobs import TrainingJob, look, read_job_log
from helpers.errors import JobError
from helpers.tables import Table, Tabular
from helpers.tuning.progress import read_progress


@dataclass(frozen=True, kw_only=True, repr=False)
class Search(Tabular):
    """The score by rate and step: the loss on images that were put aside, so less is better."""

    scores: Mapping[float, Mapping[int, float]]
    jobs: Mapping[float, TrainingJob]

    @property
    def best(self) -> tuple[float, int]:
        """Rate and step of the lowest score."""
        found = [
            (score, rate, step) for rate, row in self.scores.items() for step, score in row.items()
        ]
        _, rate, step = min(found)
        return rate, step

    @property
    def table(self) -> Table:
        steps = sorted({step for row in self.scores.values() for step in row})
        best = self.best
        rows = []
        for rate, row in self.scores.items():
            cells = [
                f"{row[step]:.4f}{' *' if (rate, step) == best else ''}" if step in row else ""
                for step in steps
            ]
            rows.append((f"{rate:g}", *cells))
        return Table(
            head=("learning rate", *(f"{step} steps" for step in steps)),
            rows=rows,
            notes=[f"* lowest loss on images put aside: rate {best[0]:g}, {best[1]} steps"],
        )


def search_rates(
    cloud: Cloud,
    rates: Sequence[float],
    start: Callable[[float], TrainingJob],
    *,
    at_once: int = 2,
) -> Search:
    """Start a job for each rate, ``at_once`` side by side, and read what each measured.

    Jobs need ``heldout_images``. Raises ``JobError`` when one does not complete or measured
    nothing; the others go on.
    """
    waiting, running, jobs = list(rates), dict[float, TrainingJob](), dict[float, TrainingJob]()
    while waiting or running:
        while waiting and len(running) < at_once:
            rate = waiting.pop(0)
            running[rate] = jobs[rate] = start(rate)
        for rate, job in list(running.items()):
            status = look(cloud, job)
            if status.done:
                del running[rate]
                if status.state != "Completed":
                    raise JobError(f"the job of rate {rate:g} is {status.state}", status.reason)
        time.sleep(cloud.pause(10, brisk=0.25))
    return Search(scores={rate: _scores(cloud, jobs[rate]) for rate in rates}, jobs=jobs)


def _scores(cloud: Cloud, job: TrainingJob) -> dict[int, float]:
    lines = map(str, read_job_log(cloud, job))
    found = {
        one.done: one.held_out_loss for one in read_progress(lines) if one.held_out_loss is not None
    }
    if not found:
        raise JobError(
            f"the job {job.name} measured nothing", "no image was put aside", "set heldout_images"
        )
    return found
