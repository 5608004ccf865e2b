"""Running a sweep: what is in the store is taken from there, the rest is done, with progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from helpers.experiments.runner import LocalRunner, Runner
from helpers.experiments.store import CellResult, Store
from helpers.experiments.sweep import Cell, Sweep


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """How far a sweep is. ``done`` of ``total`` cells, ``kept`` of them from before.

    ``seconds`` since it was started, ``remaining`` at the pace so far, or ``None`` while no cell
    gives one.
    """

    done: int
    total: int
    kept: int
    seconds: float
    remaining: float | None

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.total} cells"]
        if self.kept:
            parts.append(f"{self.kept} of them kept from before")
        parts.append(f"{_clock(self.seconds)} spent")
        if self.remaining:
            parts.append(f"about {_clock(self.remaining)} left")
        return ", ".join(parts)


def run_sweep(
    sweep: Sweep,
    store: Store,
    *,
    runner: Runner | None = None,
    on_progress: Callable[[SweepProgress], None] | None = None,
) -> dict[str, CellResult]:
    """Every cell of the sweep by its hash; see ``run_cells``."""
    cells = longest_first(sweep)
    results = run_cells(cells, store, runner=runner, on_progress=on_progress)
    return {trial.cell.hash: results[trial.cell.hash] for trial in sweep.trials}


def longest_first(sweep: Sweep) -> list[Cell]:
    """Its cells in the order to do them: a short one at the end keeps every worker busy."""
    return sorted((trial.cell for trial in sweep.trials), key=lambda cell: -cell.work)


def run_cells(
    wanted: Sequence[Cell],
    store: Store,
    *,
    runner: Runner | None = None,
    on_progress: Callable[[SweepProgress], None] | None = None,
    on_result: Callable[[CellResult], None] | None = None,
) -> dict[str, CellResult]:
    """Every cell by its hash, done in the order given. Killed or interrupted at any point and
    started again, it goes on with those that were not finished, and gives the same pictures.

    ``runner`` puts results into ``store``; by default one worker process of this machine.
    ``on_result`` hears of each cell as soon as it is there, of kept ones first. Raises
    ``ExperimentError`` and what a training raises; finished cells are kept.
    """
    store.sweep_up()
    cells = {cell.hash: cell for cell in wanted}
    results = {key: found for key, cell in cells.items() if (found := store.find(cell))}
    todo = [cell for key, cell in cells.items() if key not in results]
    hear = on_result or (lambda result: None)
    tell = _Teller(cells, kept=len(results), on_progress=on_progress)
    tell(results)
    for result in results.values():
        hear(result)
    for result in (runner or LocalRunner(store=store)).run(todo) if todo else ():
        results[result.hash] = result
        tell(results)
        hear(result)
    return {key: results[key] for key in cells}


class _Teller:
    def __init__(
        self,
        cells: Mapping[str, Cell],
        *,
        kept: int,
        on_progress: Callable[[SweepProgress], None] | None,
    ) -> None:
        self._cells, self._kept, self._hear = cells, kept, on_progress
        self._began = time.monotonic()
        self._before: int | None = None

    def __call__(self, results: Mapping[str, CellResult]) -> None:
        left = sum(cell.work for key, cell in self._cells.items() if key not in results)
        if self._before is None:
            self._before = left
        seconds, done = time.monotonic() - self._began, self._before - left
        if self._hear:
            self._hear(
                SweepProgress(
                    done=len(results),
                    total=len(self._cells),
                    kept=self._kept,
                    seconds=seconds,
                    remaining=seconds / done * left if done else None if left else 0.0,
                )
            )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
