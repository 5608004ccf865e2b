"""One fine-tuning job, timed from within: ``python -m helpers.bench.job FOLDER``.

A process of its own, so that its peak of memory is its own, too. What is timed begins when all
libraries are there: a container has them loaded before the first job comes. ``prepare`` is loading
the base, ``train`` begins with encoding what is encoded once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.bench.lanes import serve
from helpers.bench.machine import peak_memory
from helpers.startup import import_libraries

STAGES = ("prepare", "priors", "train", "package")


class Stopwatch:
    """Wall and processor seconds of each stage; a stage lasts until the next one begins."""

    def __init__(self) -> None:
        self.stages = {name: {"wall": 0.0, "cpu": 0.0} for name in STAGES}
        self._stage = STAGES[0]
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def begin(self, stage: str) -> None:
        """What comes from now on belongs to ``stage``, one of ``STAGES``."""
        wall, cpu = time.monotonic(), time.process_time()
        self.stages[self._stage]["wall"] += wall - self._wall
        self.stages[self._stage]["cpu"] += cpu - self._cpu
        self._stage, self._wall, self._cpu = stage, wall, cpu

    def stop(self) -> None:
        """The end of the last stage."""
        self.begin(self._stage)


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fine-tune as ``given`` says and tell how long it took and how large it became."""
    import_libraries()
    import torch

    from helpers.bases import open_base
    from helpers.bench.shapes import random_base
    from helpers.tuning.config import FineTuneConfig
    from helpers.tuning.fine_tune import fine_tune, fine_tune_model
    from helpers.tuning.loop import Step

    folder = Path(given["base"])
    base = random_base(folder) if given["random"] else open_base(folder)
    photos = read_pictures(given["photos"])
    at_begin = peak_memory()
    walls: list[float] = []
    watch = Stopwatch()

    def on_step(step: Step) -> None:
        walls.append(step.seconds)

    config = FineTuneConfig.from_mapping(given["config"])
    result = (fine_tune if config.method == "lora" else fine_tune_model)(
        photos,
        config,
        base,
        Path(given["adapter"]),
        prior_folder=Path(given["bank"]) if given["bank"] else None,
        on_step=on_step,
        on_stage=watch.begin,
    )
    watch.stop()
    return {
        "stages": watch.stages,
        "step_seconds": walls,
        "peak_bytes": peak_memory(),
        "peak_before_bytes": at_begin,
        "gpu_peak_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        "adapter_bytes": result.size,
    }


def read_pictures(paths: list[str]) -> list[Any]:
    """The pictures at ``paths``, upright and RGB."""
    from helpers.photos.load import load_photo

    return [load_photo(Path(path)).image for path in paths]


if __name__ == "__main__":
    serve(run)
