"""The bench of the experiments: what the publications show, with seeds, intervals and controls.

Three trainings of everything and 64 pictures of each prompt at each step that is looked at; by
default some 20,000 pictures and 26,000 steps of training. Two processor cores that multiply in half
precision do them in an hour (0.12 s a step, 0.21 s a picture each), others in two and a half to
four. All cells go through one store, so that a bench that was interrupted goes on where
it was; ``outputs/bench`` keeps them. A sweep whose tables are at hand (``experiments_tables``) is
taken from there.

``holds`` speaks of the protocol and the controls. A published shape carries ``reproduced``: yes,
no or unclear, by its 95% interval. An honest no is a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.bases import BaseModel, shipped_base
from helpers.bench import experiments_tables as tables
from helpers.bench.costs import Costs, measure_costs
from helpers.bench.experiments_advice import advice_rows
from helpers.bench.experiments_controls import control_rows
from helpers.bench.experiments_shapes import number_rows, shape_rows
from helpers.bench.machine import cores
from helpers.bench.report import Row, measured
from helpers.experiments import plans
from helpers.experiments.judges import JUDGE, PocketJudge, open_judge
from helpers.experiments.measure import measure
from helpers.experiments.measured import Measured
from helpers.experiments.run import longest_first, run_cells
from helpers.experiments.runner import LocalRunner, torch_threads
from helpers.experiments.store import CellResult, Store
from helpers.experiments.sweep import Prompt, Subject, Sweep, Variant
from helpers.settings import ROOT, Settings

SUBJECTS = ROOT / "data" / "subjects"
MOST_WORKERS = 8
THREE = (plans.SUBJECT, plans.BEACH, plans.CLASS)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the bench does. ``changes`` go into every training; none in a true run.

    ``steps`` are the marks of the long curve; of these ``usual`` and the last are looked at
    elsewhere, and ``early`` stands beside a low rate. ``lesson`` is the number of steps of each
    subject in a sequence.
    """

    base: BaseModel
    work: Path
    judge: Path = JUDGE
    seeds: tuple[int, ...] = (0, 1, 2)
    pictures: int = 64
    sampling_steps: int = 10
    steps: tuple[int, ...] = (50, 100, 200, 400, 800)
    early: int = 200
    usual: int = 400
    lesson: int = 200
    cost_steps: int = 20
    cost_repeats: int = 3
    workers: int = field(default_factory=lambda: min(len(cores()), MOST_WORKERS))
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def late(self) -> int:
        """The last mark."""
        return self.steps[-1]

    @property
    def low_rate(self) -> Variant:
        """A rate at which the last mark is as far as ``early`` at the usual one."""
        return plans.at_rate(self.base, self.early / self.late)

    def sweeps(self) -> dict[str, Sweep]:
        """Every sweep by name."""
        doppler, eight = _subject("doppler"), _subject("doppler", "instance_8")
        four = doppler.replace(name="4 photos", training=doppler.training[:4])
        own = {name: _subject(name, token=token) for name, token in (
            ("fourier", "qrn"), ("riobugger", "riobugger"))}  # fmt: skip
        own["doppler"] = _subject("doppler", "instance_8", token="doppler")
        similar = own["doppler"], own["fourier"]
        different = own["riobugger"], own["doppler"]
        two = {"prompts": (plans.SUBJECT,), "steps": (self.lesson,)}
        return {
            "steps": self._sweep(doppler, variants=(plans.LORA, plans.FULL)),
            "rate": self._sweep(
                doppler, variants=(self.low_rate,), prompts=THREE, steps=(self.late,)
            ),
            "photos": self._sweep(four, prompts=(plans.SUBJECT,), steps=(self.usual,)),
            "animal": self._sweep(
                eight, variants=(plans.OFF, plans.ON), prompts=THREE, steps=(self.usual,)
            ),
            "face": self._sweep(
                _subject("marlow"), variants=(plans.OFF, plans.ON), prompts=THREE,
                steps=(self.usual, self.late),
            ),
            "similar": self._pair(similar, "in sequence", **two),
            "similar-back": self._pair(similar[::-1], "in sequence", **two),
            "different": self._pair(different, "in sequence", **two),
            "similar-full": self._pair(
                similar, "in sequence", variants=(plans.FULL,), **two
            ),
            "different-full": self._pair(
                different, "in sequence", variants=(plans.FULL,), **two
            ),
            "similar-adapters": self._pair(similar, "in adapters", **two),
            "different-adapters": self._pair(different, "in adapters", **two),
            "similar-together": self._pair(similar, "together", **two),
            "different-together": self._pair(different, "together", **two),
            "untrained": self._sweep(
                doppler, variants=(plans.UNTRAINED, plans.WORDLESS),
                prompts=(plans.SUBJECT,), steps=(1,),
            ),
        }  # fmt: skip

    def _pair(self, subjects: tuple[Subject, ...], taught: str, **how: Any) -> Sweep:
        how = {"variants": (plans.PLAIN,), **how}
        return self._sweep(*subjects, taught=taught, **how)

    def _sweep(
        self, *subjects: Subject, variants: tuple[Variant, ...] = (plans.LORA,),
        steps: tuple[int, ...] | None = None, prompts: tuple[Prompt, ...] | None = None,
        taught: str = "alone",
    ) -> Sweep:  # fmt: skip
        return Sweep(
            base=self.base,
            subjects=subjects,
            steps=steps or self.steps,
            seeds=self.seeds,
            pictures=self.pictures,
            prompts=prompts or plans.ALL_FOUR,
            variants=tuple(
                Variant(name=one.name, changes={**one.changes, **self.changes}) for one in variants
            ),
            taught=taught,
            sampling_steps=self.sampling_steps,
            fp16=True,
        )


def quick_plan(base: BaseModel, work: Path, judge: Path = JUDGE) -> Plan:
    """The same walk with so few steps and pictures that nothing is learned."""
    return Plan(
        base=base,
        work=work,
        judge=judge,
        seeds=(0,),
        pictures=2,
        sampling_steps=1,
        steps=(1, 2, 3),
        early=1,
        usual=2,
        lesson=1,
        cost_steps=2,
        cost_repeats=1,
        changes={"batch_size": 1, "num_class_images": 2, "class_image_steps": 1},
    )


def run(settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every row of the bench. Raises ``CourseError`` when a cell fails; finished ones are kept."""
    base = shipped_base(settings.base_model, settings=settings)
    plan = (quick_plan if quick else Plan)(base=base, work=work_folder(settings, quick=quick))
    return measure_all(plan, say=say)


def work_folder(settings: Settings, *, quick: bool = False) -> Path:
    """Where the bench keeps its cells and its tables."""
    return settings.outputs / "bench" / f"experiments_{'quick' if quick else 'cells'}"


def measure_all(plan: Plan, *, say: Callable[[str], None]) -> list[Row]:
    """The rows of a plan."""
    judge = open_judge(plan.judge)  # one that cannot judge is better known before the cells
    sweeps = plan.sweeps()
    found = _measured(plan, sweeps, judge, say)
    costs = _costs(plan)
    shapes = shape_rows(plan, found)
    rows = [
        *control_rows(plan, sweeps, found, judge),
        *shapes,
        *number_rows(plan, found),
        *_cost_rows(costs),
        *advice_rows(plan, found, shapes, costs),
        *_time_rows(found),
    ]
    return rows


def _measured(
    plan: Plan, sweeps: Mapping[str, Sweep], judge: PocketJudge, say: Callable[[str], None]
) -> dict[str, Measured]:
    """The tables of every sweep: those at hand, the others as soon as their cells are done."""
    own, store = tables.own(plan.work), Store(folder=plan.work)
    prints = {name: tables.fingerprint(sweep, plan.judge) for name, sweep in sweeps.items()}
    found: dict[str, Measured] = {}
    for name, wanted in prints.items():
        if kept := tables.find(name, wanted, (own, tables.PUBLISHED)):
            found[name] = kept
    say(f"{len(found)} of {len(sweeps)} sweeps are measured already")
    left = {name: sweep for name, sweep in sweeps.items() if name not in found}
    results: dict[str, CellResult] = {}

    def look(result: CellResult) -> None:
        results[result.hash] = result
        for name, sweep in left.items():
            cells = {trial.cell.hash for trial in sweep.trials}
            if name not in found and cells <= results.keys():
                with torch_threads(1):  # the other cores have cells to do
                    found[name] = measure(sweep, results, judge, store=plan.work)
                tables.keep(found[name], name, prints[name], own, result.machine)
                say(f"measured: {name}")

    if cells := [cell for sweep in left.values() for cell in longest_first(sweep)]:
        say(
            f"{len({cell.hash for cell in cells})} cells with {plan.workers} at a time; interrupt "
            "and start again whenever you like: finished ones are kept"
        )
        runner = LocalRunner(store=store, workers=plan.workers)
        run_cells(
            cells, store, runner=runner, on_progress=lambda one: say(str(one)), on_result=look
        )
    tables.prune(own, prints)
    return {name: found[name] for name in sweeps}


def _costs(plan: Plan) -> list[Costs]:
    """Measured several times: a process's peak hangs on how its memory happens to be laid out."""
    settings = {
        f"{way.name} {switch.name}": {**way.changes, **switch.changes, **plan.changes}
        for way in (plans.LORA, plans.FULL)
        for switch in (plans.OFF, plans.ON)
    }
    photos = _subject("doppler", "instance_8").training
    return [
        measure_costs(settings, photos, plan.base, plan.work / "costs", steps=plan.cost_steps)
        for _ in range(plan.cost_repeats)
    ]


def _cost_rows(costs: Sequence[Costs]) -> list[Row]:
    rows = []
    for name in costs[0].found:
        key, found = name.replace(" ", "."), [one.found[name] for one in costs]
        rows += [
            measured(f"cost.{key}.step", [one.step_s for one in found], "s"),
            measured(f"cost.{key}.memory", [one.training_bytes / 1e6 for one in found], "MB"),
        ]
    return rows


def _time_rows(found: Mapping[str, Measured]) -> list[Row]:
    """Of all cells, also those that an earlier run left: the clock of one run may show little."""
    cells = {row["cell"]: row for one in found.values() for row in one.costs.records()}
    rows = [
        Row(name=f"time.{what}", unit="core hours",
            value=sum(row[f"{what}_s"] for row in cells.values()) / 3600)
        for what in ("training", "painting")
    ]  # fmt: skip
    return [*rows, Row(name="cells", value=float(len(cells)))]


def _subject(name: str, pictures: str = "instance", token: str | None = None) -> Subject:
    return Subject.read(SUBJECTS / name, pictures=pictures, token=token)
