"""What the jobs of both recipes did, and the rows that follow from it. Arithmetic alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from helpers.bench.report import Row, measured
from helpers.tuning.presets import AWS_2023, COURSE


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job: seconds by stage (``wall`` and ``cpu``), the clock at the end of every step since
    the training began, peak of memory and size of the adapter."""

    stages: Mapping[str, Mapping[str, float]]
    step_seconds: Sequence[float]
    peak_bytes: int
    adapter_bytes: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Job:
        """From the answer of ``helpers.bench.job``."""
        return cls(
            **{name: answer[name] for name in ("stages", "step_seconds", "peak_bytes")},
            adapter_bytes=answer["adapter_bytes"],
        )

    @property
    def steps(self) -> int:
        """Steps that were taken: fewer than the budget if it stopped early."""
        return len(self.step_seconds)

    @property
    def wall(self) -> float:
        """Seconds of the whole job."""
        return sum(stage["wall"] for stage in self.stages.values())

    def wall_of(self, steps: int) -> float:
        """Seconds of the job that ends after ``steps``, all before and after its steps included.

        That is exact where no step depends on how many come after it: a constant rate, no
        measurement between steps. Raises ``ValueError`` for more steps than were taken.
        """
        if not 1 <= steps <= self.steps:
            raise ValueError(f"{self.steps} steps were taken, not {steps}")
        return self.wall - (self.step_seconds[-1] - self.step_seconds[steps - 1])


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Likeness to photos held out, and agreement with prompts; each from -1 to 1."""

    identity: float
    prompt: float


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Everything that ran.

    ``original`` by rate (a factor) and seed, ``cold`` and ``warm`` by seed; ``base`` and
    ``curves``, by seed: the course's scores at growing budgets, the last is the default's.
    """

    original: Mapping[tuple[float, int], tuple[Job, Scores]]
    cold: Mapping[int, Job]
    warm: Mapping[int, Job]
    base: Scores
    curves: Mapping[int, Sequence[Scores]]

    @property
    def best_rate(self) -> float:
        """The original's rate of the highest identity score."""
        return best_rate({key: scores for key, (_, scores) in self.original.items()})


def best_rate(scores: Mapping[tuple[float, int], Scores]) -> float:
    """The rate of the highest mean identity score, over the seeds that all were tried with.

    So the choice stays what it was when the best rate alone is tried with more seeds.
    """
    seeds_of: dict[float, set[int]] = {}
    for rate, seed in scores:
        seeds_of.setdefault(rate, set()).add(seed)
    shared = set.intersection(*seeds_of.values())
    return max(
        sorted(seeds_of), key=lambda rate: fmean(scores[rate, seed].identity for seed in shared)
    )


def prompt_at(identity: float, curve: Sequence[Scores]) -> float | None:
    """The prompt score where ``curve`` first comes to that identity score, on straight lines
    between its points; ``None`` if it never does. Its first point is the bare base."""
    for before, after in pairwise(curve):
        low, high = before.identity, after.identity
        if low <= identity <= high or high <= identity <= low:
            share = (identity - low) / (high - low) if high != low else 1.0
            return before.prompt + share * (after.prompt - before.prompt)
    return None


def rows_of(trials: Trials) -> list[Row]:
    """Times, memory, bytes and likeness as rows of a report."""
    best = trials.best_rate
    seeds = sorted(trials.cold)
    original = [trials.original[best, seed] for seed in seeds]
    kinds = {
        AWS_2023: [job for job, _ in original],
        f"{COURSE}.cold": [trials.cold[seed] for seed in seeds],
        f"{COURSE}.warm": [trials.warm[seed] for seed in seeds],
    }
    return [
        *_times(kinds),
        *_sizes(kinds),
        *_likeness(trials, best, seeds),
    ]


def _times(kinds: Mapping[str, Sequence[Job]]) -> list[Row]:
    rows = [
        measured(f"time.job.{name}", [job.wall for job in jobs], "s")
        for name, jobs in kinds.items()
    ]
    rows += [
        measured(f"steps.{name}", [float(job.steps) for job in kinds[name]], "steps")
        for name in (AWS_2023, f"{COURSE}.warm")
    ]
    for bank in ("cold", "warm"):
        pairs = list(zip(kinds[f"{COURSE}.{bank}"], kinds[AWS_2023], strict=True))
        rows.append(
            measured(
                f"time.default-budget.ratio.{bank}",
                [ours.wall / theirs.wall for ours, theirs in pairs],
            )
        )
        equal = [
            ours.wall_of(steps) / theirs.wall_of(steps)
            for ours, theirs in pairs
            if (steps := min(ours.steps, theirs.steps))
        ]
        rows.append(measured(f"time.equal-steps.ratio.{bank}", equal))
    for name, jobs in kinds.items():
        for stage in jobs[0].stages:
            for clock in ("wall", "cpu"):
                values = [job.stages[stage][clock] for job in jobs]
                rows.append(measured(f"time.{stage}.{name}.{clock}", values, "s"))
    return rows


def _sizes(kinds: Mapping[str, Sequence[Job]]) -> list[Row]:
    rows = []
    for name, jobs in kinds.items():
        peaks = [job.peak_bytes / 1e6 for job in jobs]
        rows.append(measured(f"memory.peak.{name}", peaks, "MB"))
    for name, jobs in ((AWS_2023, kinds[AWS_2023]), (COURSE, kinds[f"{COURSE}.warm"])):
        sizes = [job.adapter_bytes / 1e3 for job in jobs]
        rows.append(measured(f"adapter.pocket.{name}", sizes, "kB"))
    return rows


def _likeness(trials: Trials, best: float, seeds: Sequence[int]) -> list[Row]:
    rows = [
        Row(name="identity.base", value=trials.base.identity),
        Row(name="prompt.base", value=trials.base.prompt),
    ]
    for rate in sorted({rate for rate, _ in trials.original}):
        found = [scores for (r, _), (_, scores) in trials.original.items() if r == rate]
        for what in ("identity", "prompt"):
            values = [getattr(scores, what) for scores in found]
            rows.append(measured(f"{what}.{AWS_2023}.rate-x{rate:g}", values))
    for what in ("identity", "prompt"):
        values = [getattr(trials.curves[seed][-1], what) for seed in seeds]
        rows.append(measured(f"{what}.{COURSE}", values))
    gaps = []
    for seed in seeds:
        theirs = trials.original[best, seed][1]
        ours = prompt_at(theirs.identity, [trials.base, *trials.curves[seed]])
        if ours is not None:
            gaps.append(ours - theirs.prompt)
    return [
        *rows,
        Row(name="matched.rate", value=f"x{best:g}"),
        Row(name="matched.reached", value=len(gaps) / len(seeds), unit="of the seeds"),
        measured("matched.prompt-difference", gaps),
    ]
