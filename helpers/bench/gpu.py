"""Stable Diffusion 2.1's shape on a GPU, with random weights: how fast, how much memory.

Weights decide what is painted, not how long it takes. Without a GPU every row is there and says
that nothing was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from helpers.bases.registry import ORIGINAL
from helpers.bench.lanes import Lanes, Task
from helpers.bench.report import Row
from helpers.bench.shapes import write_random_base
from helpers.bench.trials import Job
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.presets import AWS_2023, COURSE

SHORT = 100
"""Steps of a job that is there for its rate alone."""
UNITS = {
    f"gpu.steps-per-second.{AWS_2023}": "steps/s",
    f"gpu.steps-per-second.{COURSE}": "steps/s",
    "gpu.steps-per-second.two-jobs": "steps/s",
    "gpu.time.job.cold": "s",
    "gpu.time.job.warm": "s",
    f"gpu.memory.{AWS_2023}": "GB",
    f"gpu.memory.{COURSE}": "GB",
    f"gpu.memory.{COURSE}.checkpointing": "GB",
}


def gpu_rows(
    work: Path, photos: Sequence[Path], *, asked: bool, say: Callable[[str], None]
) -> list[Row]:
    """Jobs of 512 pixels on the GPU, if there is one and it was ``asked`` for.

    ``work`` needs 3 GB. Two jobs at once share the GPU; their rate is the sum of both.
    """
    if not (asked and torch.cuda.is_available()):
        why = "none at hand" if asked else "not asked for"
        return [Row(name="gpu", value=why)] + [
            Row(name=name, value=None, unit=unit) for name, unit in UNITS.items()
        ]
    say("writing a base of random weights")
    base = write_random_base(work / "base")
    alone, pair = gpu_jobs(work, base.folder, photos)
    answers = Lanes(count=1, say=say).run({"alone": list(alone.values())})["alone"]
    both = Lanes(count=2, say=say).run({one.folder.name: [one] for one in pair})
    found = gpu_numbers(dict(zip(alone, answers, strict=True)), [one[0] for one in both.values()])
    return [Row(name="gpu", value=torch.cuda.get_device_name())] + [
        Row(name=name, value=found[name], unit=unit) for name, unit in UNITS.items()
    ]


def gpu_jobs(
    work: Path, base: Path, photos: Sequence[Path]
) -> tuple[dict[str, Task], tuple[Task, Task]]:
    """Jobs that have the GPU to themselves, in this order, and two that share it."""

    def job(name: str, preset: str, **changes: Any) -> Task:
        config = FineTuneConfig.preset(preset, ORIGINAL, **changes)
        return Task(
            module="helpers.bench.job",
            folder=work / f"gpu-{name}",
            gpu=True,
            given={
                "base": str(base),
                "random": True,
                "config": config.to_mapping(),
                "photos": [str(path) for path in photos],
                "bank": str(work / "bank") if config.prior_bank else "",
                "adapter": str(work / f"gpu-{name}" / "adapter"),
            },
        )

    alone = {
        "cold": job("cold", COURSE),
        "warm": job("warm", COURSE),
        "saving": job("saving", COURSE, n_steps=SHORT, gradient_checkpointing=True),
        AWS_2023: job(AWS_2023, AWS_2023, n_steps=SHORT, num_class_images=2),
    }
    return alone, (job("first", COURSE, n_steps=SHORT), job("second", COURSE, n_steps=SHORT))


def gpu_numbers(
    alone: Mapping[str, Mapping[str, Any]], pair: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """What the answers of ``gpu_jobs`` say, by the names of ``UNITS``."""
    warm, original = alone["warm"], alone[AWS_2023]
    return {
        f"gpu.steps-per-second.{AWS_2023}": _rate(original),
        f"gpu.steps-per-second.{COURSE}": _rate(warm),
        "gpu.steps-per-second.two-jobs": sum(_rate(one) for one in pair),
        "gpu.time.job.cold": Job.of(alone["cold"]).wall,
        "gpu.time.job.warm": Job.of(warm).wall,
        f"gpu.memory.{AWS_2023}": original["gpu_peak_bytes"] / 1e9,
        f"gpu.memory.{COURSE}": warm["gpu_peak_bytes"] / 1e9,
        f"gpu.memory.{COURSE}.checkpointing": alone["saving"]["gpu_peak_bytes"] / 1e9,
    }


def _rate(answer: Mapping[str, Any]) -> float:
    """Steps a second without the first tenth, in which kernels are chosen and memory is found."""
    seconds = answer["step_seconds"]
    skipped = len(seconds) // 10
    return (len(seconds) - 1 - skipped) / (seconds[-1] - seconds[skipped])
