"""Who does the cells: worker processes of this machine, or whatever else has the same ``run``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from helpers.errors import ExperimentError
from helpers.experiments.store import CellResult, Store
from helpers.experiments.sweep import Cell
from helpers.startup import import_libraries

_LOOK_S = 0.5


class Runner(Protocol):
    """Does cells, in any order and anywhere, and puts their results into the store it was given.

    ``LocalRunner`` does them here, ``jobs_runner.JobsRunner`` in SageMaker training jobs. A cell
    that is in the store already need not be done.
    """

    def run(self, cells: Sequence[Cell]) -> Iterator[CellResult]:
        """Yield the result of each cell as soon as it is there."""
        ...


@dataclass(frozen=True, kw_only=True)
class LocalRunner:
    """``workers`` processes of this machine, each with ``threads`` of torch's.

    One thread each is the fastest way to do several cells at once, and what makes pictures the same
    on machines with different numbers of cores. With no worker, cells are done in this process, one
    after another. Workers end with the process that started them, however it ends, and when the
    iteration is broken off.
    """

    store: Store
    workers: int = 1
    threads: int = 1

    def run(self, cells: Sequence[Cell]) -> Iterator[CellResult]:
        """Yield results as they come. Raises ``ExperimentError`` when a worker dies, and what a
        training raises."""
        if not self.workers:
            yield from (_work(cell, self.store.folder, self.threads) for cell in cells)
            return
        context = get_context("spawn")
        stop = context.Event()
        pool = ProcessPoolExecutor(
            min(self.workers, len(cells)) or 1, context, _watch_parent, (stop,)
        )
        try:
            waiting = [pool.submit(_work, one, self.store.folder, self.threads) for one in cells]
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as error:
            raise ExperimentError(
                "a worker process ended in the middle of a cell",
                "most often the machine had no memory left",
                "run the sweep again with fewer workers: finished cells are kept",
            ) from error
        except BaseException:
            # Interrupted, or a cell failed: what the others are at would be waited for.
            stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _work(cell: Cell, folder: Path, threads: int) -> CellResult:
    # Imported where the work is done: a process that only plans needs no torch.
    import_libraries()
    from helpers.experiments.work import run_cell

    with torch_threads(threads):
        return run_cell(cell, folder)


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch compute with so many threads in this process for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _watch_parent(stop: Any) -> None:
    """End this worker when it is told to, or when the process that started it is gone.

    A pool's worker would otherwise wait for work for ever.
    """

    def watch() -> None:
        parent = parent_process()
        while not stop.wait(_LOOK_S):
            if parent is not None and not parent.is_alive():
                break
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
