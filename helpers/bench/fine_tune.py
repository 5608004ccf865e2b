"""The bench of the trainer: the course's recipe beside that of 2023, in one run.

The two recipes run side by side on the pocket base, on as many cores and under the same load, for
every seed: each job in a process of its own, class images cold (none in the bank) and warm (left by
the job before). The original's learning rate is damped by its alpha, so it is also given four
rates, and the one of the best likeness is what the course is compared with. Then the ledger of both
for Stable Diffusion 2.1, and that shape on a GPU where there is one.

*At equal steps* needs no jobs of its own: every step of the original costs the same, so the first
400 of its 1000 are a job of 400, with all that comes before and after.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from helpers.bases import BaseModel, shipped_base
from helpers.bench.gpu import gpu_rows
from helpers.bench.lanes import Lanes, Task, share
from helpers.bench.ledger import ledger_rows
from helpers.bench.machine import cores
from helpers.bench.report import Row
from helpers.bench.trials import Job, Scores, Trials, best_rate, rows_of
from helpers.experiments.judges import JUDGE, open_judge
from helpers.settings import ROOT, Settings
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.presets import AWS_2023, COURSE

SUBJECT = ROOT / "data" / "subjects" / "doppler"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the bench does.

    ``rates`` multiply the original's learning rate, ``budgets`` the course's number of steps: jobs
    of fewer steps tell how its prompt score falls while likeness rises. ``pictures`` for each
    prompt, ``photos`` of the subject. ``changes`` by recipe; none of the two in a true run.
    """

    base: BaseModel
    work: Path
    judge: Path = JUDGE
    photos: int = 10
    seeds: tuple[int, ...] = (0, 1, 2)
    rates: tuple[float, ...] = (1.0, 10.0, 30.0, 100.0)
    budgets: tuple[float, ...] = (0.25, 0.5)
    pictures: int = 4
    sampling_steps: int = 25
    gpu: bool = True
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def config(self, preset: str, seed: int, **changes: Any) -> FineTuneConfig:
        """A recipe for this plan's subject. Both get the same prompts, which name the class: the
        original's own does not, and that alone would decide the comparison."""
        info = json.loads((SUBJECT / "dataset_info.json").read_text(encoding="utf-8"))
        prompts = {"concept_prompt": info["instance_prompt"], "class_prompt": info["class_prompt"]}
        return FineTuneConfig.preset(
            preset,
            self.base,
            **{**prompts, "seed": seed, **self.changes.get(preset, {}), **changes},
        )


def quick_plan(base: BaseModel, work: Path, judge: Path = JUDGE) -> Plan:
    """The same walk with so few steps that nothing is learned, and without a GPU."""
    short = {"n_steps": 4, "num_class_images": 2, "class_image_steps": 2}
    aside = {"heldout_images": 1, "heldout_every": 2, "patience": 2}
    return Plan(
        base=base,
        work=work,
        judge=judge,
        photos=5,
        seeds=(0,),
        rates=(1.0, 10.0),
        budgets=(0.5,),
        pictures=1,
        sampling_steps=2,
        gpu=False,
        changes={AWS_2023: short, COURSE: {**short, **aside}},
    )


def run(settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every row of the bench. Raises ``CourseError`` when a job fails; its log then stays."""
    base = shipped_base(settings.base_model, settings=settings)
    work = settings.outputs / "bench" / "fine_tune_work"
    return measure((quick_plan if quick else Plan)(base=base, work=work), say=say)


def measure(plan: Plan, *, say: Callable[[str], None]) -> list[Row]:
    """The rows of a plan. Its working folder goes when all is done."""
    open_judge(plan.judge)  # one that cannot judge is better known before the jobs than after
    shutil.rmtree(plan.work, ignore_errors=True)
    threads = len(share(cores(), Lanes.count)[0])
    rows = [Row(name="threads-per-job", value=float(threads)), *rows_of(try_both(plan, say=say))]
    say("counting the operations of Stable Diffusion 2.1")
    rows += ledger_rows()
    rows += gpu_rows(plan.work / "gpu", photos("instance")[: plan.photos], asked=plan.gpu, say=say)
    shutil.rmtree(plan.work, ignore_errors=True)
    return rows


def try_both(plan: Plan, *, say: Callable[[str], None]) -> Trials:
    """Run the jobs of both recipes in turns, judge their adapters, then give the original's best
    rate the other seeds."""
    lanes, first = Lanes(say=say), plan.seeds[0]
    chains: dict[tuple[str, float, int], list[Task]] = {}
    for rate, seed in zip_longest(plan.rates, plan.seeds):
        if rate is not None:
            chains[AWS_2023, rate, first] = _original(plan, rate, first)
        if seed is not None:
            chains[COURSE, 1.0, seed] = _course(plan, seed)
    answers = lanes.run(chains)
    tried = {key[1:]: _scores(found[-1]) for key, found in answers.items() if key[0] == AWS_2023}
    best = best_rate({key: scores[0] for key, scores in tried.items()})
    answers |= lanes.run(
        {(AWS_2023, best, seed): _original(plan, best, seed) for seed in plan.seeds[1:]}
    )
    ours = {seed: answers[COURSE, 1.0, seed] for seed in plan.seeds}
    return Trials(
        original={
            (rate, seed): (Job.of(found[0]), _scores(found[-1])[0])
            for (recipe, rate, seed), found in answers.items()
            if recipe == AWS_2023
        },
        cold={seed: Job.of(found[0]) for seed, found in ours.items()},
        warm={seed: Job.of(found[1]) for seed, found in ours.items()},
        base=_scores(ours[first][-1])[0],
        curves={seed: _scores(found[-1])[1:] for seed, found in ours.items()},
    )


def _original(plan: Plan, rate: float, seed: int) -> list[Task]:
    """One job of the original, and its adapter judged."""
    name = f"{AWS_2023}-rate-x{rate:g}-seed-{seed}"
    config = plan.config(AWS_2023, seed)
    job = _job(plan, name, config.replace(learning_rate=config.learning_rate * rate))
    return [job, _paint(plan, name, {name: job.given["adapter"]})]


def _course(plan: Plan, seed: int) -> list[Task]:
    """The course's job without class images in the bank and with them, jobs of fewer steps; then
    the bare base and all adapters but the first are judged: the bank changes only the time."""
    config, name, bank = plan.config(COURSE, seed), f"{COURSE}-seed-{seed}", f"bank-{seed}"
    steps = config.steps_for(plan.photos)
    cold, warm = (_job(plan, f"{name}-{kind}", config, bank) for kind in ("cold", "warm"))
    fewer = [max(1, round(share * steps)) for share in plan.budgets]
    shorter = [
        _job(plan, f"{name}-{n}-steps", plan.config(COURSE, seed, n_steps=n), bank) for n in fewer
    ]
    judged = {job.folder.name: job.given["adapter"] for job in (*shorter, warm)}
    return [cold, warm, *shorter, _paint(plan, name, {"base": None, **judged})]


def _job(plan: Plan, name: str, config: FineTuneConfig, bank: str = "") -> Task:
    folder = plan.work / name
    return Task(
        module="helpers.bench.job",
        folder=folder,
        given={
            "base": str(plan.base.folder),
            "random": False,
            "config": config.to_mapping(),
            "photos": [str(path) for path in photos("instance")[: plan.photos]],
            "bank": str(plan.work / bank) if bank else "",
            "adapter": str(folder / "adapter"),
        },
    )


def _paint(plan: Plan, name: str, adapters: Mapping[str, str | None]) -> Task:
    config = plan.config(COURSE, 0)
    return Task(
        module="helpers.bench.painted",
        folder=plan.work / f"{name}-painted",
        given={
            "base": str(plan.base.folder),
            "judge": str(plan.judge),
            "adapters": dict(adapters),
            "heldout": [str(path) for path in photos("heldout")],
            "prompt": config.concept_prompt,
            "class_prompt": config.class_prompt,
            "pictures": plan.pictures,
            "sampling_steps": plan.sampling_steps,
        },
    )


def _scores(answer: Mapping[str, Any]) -> list[Scores]:
    return [Scores(**scores) for scores in answer.values()]


def photos(kind: str) -> list[Path]:
    """The subject's pictures: ``instance`` to learn from, ``heldout`` to measure on."""
    return sorted((SUBJECT / kind).glob("*.jpg"))
