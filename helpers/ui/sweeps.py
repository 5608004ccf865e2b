"""Sweeps in a notebook: run with progress in one line, measured, and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.experiments.charts import arm_grid, curves, picture_grid
from helpers.experiments.judges import PocketJudge, open_judge
from helpers.experiments.measure import measure
from helpers.experiments.measured import Measured
from helpers.experiments.run import run_sweep
from helpers.experiments.runner import LocalRunner
from helpers.experiments.store import CellResult, Store
from helpers.experiments.sweep import Sweep
from helpers.ui.lab import Lab
from helpers.ui.live import shown

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST_WORKERS = 4
"""Cells at a time: each holds a base and a training in memory, half a gigabyte or so."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A sweep that was run and measured; file names in its tables are relative to ``folder``."""

    sweep: Sweep
    results: Mapping[str, CellResult]
    measured: Measured
    folder: Path

    def curves(self, **how: Any) -> Picture:
        """``charts.curves`` as a picture with a description for those who do not see it."""
        return shown(curves(self.measured.summary, **how), "Metrics by step, one panel each")

    def grid(self, **how: Any) -> Picture:
        """``charts.picture_grid``."""
        return picture_grid(self.measured.pictures, self.folder, **how)

    def arms(self, arms: Mapping[str, Mapping[str, Any]], **how: Any) -> Picture:
        """``charts.arm_grid``."""
        return arm_grid(self.measured.pictures, self.folder, arms, **how)


def work_through(
    lab: Lab, sweep: Sweep, *, name: str, judge: PocketJudge | None = None
) -> Finished:
    """Run what is not finished yet, measure, save the tables under ``outputs/experiments/name``.

    Interrupt the cell and run it again whenever you like: finished cells are kept. The same
    without a notebook is ``run_sweep`` and ``measure``. Raises what they raise.
    """
    store = Store(folder=lab.settings.outputs / "experiments")
    # A rehearsal is over before a worker would have loaded its libraries.
    workers = lab.pick(min(lab.settings.threads, MOST_WORKERS), fast=0)
    line = StatusLine()
    results = run_sweep(
        sweep,
        store,
        runner=LocalRunner(store=store, workers=workers),
        on_progress=lambda progress: line.show(f"{name}: {progress}"),
    )
    line.show(f"{name}: {len(results)} cells are there; measuring")
    found = measure(sweep, results, judge or open_judge(), store=store.folder)
    _, remark = found.save(store.folder / name)
    line.show(f"{name}: done, {len(found.pictures)} pictures measured. {remark}")
    return Finished(sweep=sweep, results=results, measured=found, folder=store.folder)


class StatusLine:
    """One line of a notebook that is written over."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Put ``text`` in its place."""
        from IPython.display import Pretty, display

        if self._handle is None:
            self._handle = display(Pretty(text), display_id=True)
        else:
            self._handle.update(Pretty(text))
