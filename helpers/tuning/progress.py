"""A job's progress as lines of a log, written by the container and read by a notebook."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.tuning.loop import Step


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One line: ``stage`` ("class-images" or "step"), how far, and the loss if there is one.

    ``loss`` is what the step descends: ``instance_loss`` plus the weighted ``prior_loss``;
    ``held_out_loss`` is measured after some steps only, on photos that were put aside.
    ``seconds`` since the job began; ``job`` is the inference id as ``job_name`` writes it.
    """

    job: str
    stage: str
    done: int
    total: int
    seconds: float
    loss: float | None = None
    instance_loss: float | None = None
    prior_loss: float | None = None
    held_out_loss: float | None = None

    @property
    def fraction(self) -> float:
        """From 0 to 1 within the stage."""
        return self.done / self.total if self.total else 1.0


def job_name(inference_id: str) -> str:
    """A job's name in logs and keys: its inference id, or a hash of one that is not plain.

    Whoever invokes an endpoint may choose the id, blanks and slashes included.
    """
    if len(inference_id) <= 64 and re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", inference_id):
        return inference_id
    return hashlib.sha256(inference_id.encode()).hexdigest()[:32]


_LINE = re.compile(
    r"job (?P<job>\S+): (?P<stage>[a-z-]+) (?P<done>\d+)/(?P<total>\d+)"
    r"(?: loss (?P<loss>[\d.e+-]+))?(?: instance (?P<instance_loss>[\d.e+-]+))?"
    r"(?: prior (?P<prior_loss>[\d.e+-]+))?(?: held-out (?P<held_out_loss>[\d.e+-]+))?"
    r" seconds (?P<seconds>[\d.]+)"
)


def format_progress(progress: Progress) -> str:
    """One line without a line break; ``parse_progress`` reads it back."""
    parts = [f"job {progress.job}: {progress.stage} {progress.done}/{progress.total}"]
    losses = {
        "loss": progress.loss,
        "instance": progress.instance_loss,
        "prior": progress.prior_loss,
        "held-out": progress.held_out_loss,
    }
    parts += [f"{name} {value:.5f}" for name, value in losses.items() if value is not None]
    return " ".join([*parts, f"seconds {progress.seconds:.1f}"])


def parse_progress(line: str) -> Progress | None:
    """The progress in a line of a container's log, whatever stands before it; else ``None``."""
    found = _LINE.search(line)
    if not found:
        return None
    part = found.groupdict()
    try:
        losses = {
            name: float(part[name])
            for name in ("loss", "instance_loss", "prior_loss", "held_out_loss")
            if part[name] is not None
        }
        seconds = float(part["seconds"])
    except ValueError:
        return None
    if not all(map(math.isfinite, losses.values())):
        return None
    return Progress(
        job=part["job"],
        stage=part["stage"],
        done=int(part["done"]),
        total=int(part["total"]),
        seconds=seconds,
        **losses,
    )


def read_progress(lines: Iterable[str], job: str | None = None) -> Iterator[Progress]:
    """Every progress line of a log, of one job if ``job`` (its inference id) is given."""
    name = job_name(job) if job else None
    for line in lines:
        progress = parse_progress(line)
        if progress and name in (None, progress.job):
            yield progress


class Teller:
    """Writes progress lines: a hundred for a stage at most, and one for each measurement."""

    def __init__(self, job: str, log: Callable[[str], None]) -> None:
        self._job, self._log, self._began = job_name(job), log, time.monotonic()

    def class_image(self, done: int, total: int) -> None:
        self._tell("class-images", done, total)

    def step(self, step: Step) -> None:
        every = max(step.total // 100, 1)
        measured = step.held_out_loss is not None
        if measured or step.step % every == 0 or step.step in (1, step.total):
            self._tell(
                "step",
                step.step,
                step.total,
                loss=step.loss,
                instance_loss=step.instance_loss,
                prior_loss=step.prior_loss,
                held_out_loss=step.held_out_loss,
            )

    def _tell(self, stage: str, done: int, total: int, **losses: float | None) -> None:
        progress = Progress(
            job=self._job,
            stage=stage,
            done=done,
            total=total,
            seconds=time.monotonic() - self._began,
            **losses,
        )
        self._log(format_progress(progress))
