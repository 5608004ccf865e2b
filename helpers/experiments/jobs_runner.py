"""Cells as SageMaker training jobs: the same interface as ``LocalRunner``, on rented GPUs.

A job's data set is one cell (``cell_files``). Its model, when it ends, is the finished cell as the
store has it. ``training_service/train.py`` is the door.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud
from helpers.cloud.training_jobs import (
    TrainingJob,
    TrainingStatus,
    fetch_model,
    look,
    start_training,
    stop_training,
    upload_folder,
)
from helpers.errors import ExperimentError
from helpers.experiments.cell_files import write_cell
from helpers.experiments.store import CellResult, Store
from helpers.experiments.sweep import Cell
from helpers.tuning.train_job import channels


@dataclass(frozen=True, kw_only=True)
class JobsRunner:
    """Does each cell in a training job of its own, ``at_once`` side by side.

    ``base`` is the address of the sweep's base in the bucket (``upload_base``), ``code`` that of
    ``stage_training_code``. A cell that was interrupted with its kernel is asked for again: jobs go
    on by themselves, but nobody knows them any more. Raises ``ExperimentError`` when a job fails.
    """

    store: Store
    cloud: Cloud
    ledger: Ledger
    base: str
    code: str
    instance_type: str = "ml.g5.2xlarge"
    at_once: int = 2
    max_runtime_s: int = 3600
    isolated: bool = False

    def run(self, cells: Sequence[Cell]) -> Iterator[CellResult]:
        """Yield the result of each cell as soon as it is in the store. Ends every job that it
        started when the iteration is broken off."""
        waiting, running = list(cells), dict[str, tuple[Cell, TrainingJob]]()
        try:
            while waiting or running:
                while waiting and len(running) < self.at_once:
                    cell = waiting.pop(0)
                    running[cell.hash] = cell, self._start(cell)
                for key, (cell, job) in list(running.items()):
                    status = look(self.cloud, job)
                    if status.state == "Completed":
                        yield self._take(cell, status)
                        del running[key]
                    elif status.done:
                        del running[key]
                        raise ExperimentError(
                            f"the job {job.name} of a cell ended as {status.detail}",
                            status.reason,
                            "run the sweep again: finished cells are kept",
                        )
                time.sleep(self.cloud.pause(10, brisk=0.25))
        finally:
            for _, job in running.values():
                stop_training(self.cloud, job)

    def _start(self, cell: Cell) -> TrainingJob:
        with tempfile.TemporaryDirectory() as folder:
            write_cell(cell, Path(folder))
            data = upload_folder(
                self.cloud, self.ledger, Path(folder), "experiments", cell.hash[:16]
            )
        return start_training(
            self.cloud,
            self.ledger,
            name=f"cell-{cell.hash[:8]}",
            channels=channels(data, self.base, self.code),
            hyperparameters={},
            instance_type=self.instance_type,
            max_runtime_s=self.max_runtime_s,
            isolated=self.isolated,
        )

    def _take(self, cell: Cell, status: TrainingStatus) -> CellResult:
        home = self.store.folder / cell.hash
        self.store.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.store.folder, prefix=".fetched-") as folder:
            fetched = fetch_model(self.cloud, status, Path(folder) / cell.hash)
            if Store(folder=Path(folder)).find(cell):
                shutil.rmtree(home, ignore_errors=True)
                os.rename(fetched, home)
        found = self.store.find(cell)
        if found is None:
            raise ExperimentError(
                "what a job brought is not the cell that it was asked for",
                "its hash, or a picture's, is another",
                "run the sweep again, and upload the code again before",
            )
        return found
