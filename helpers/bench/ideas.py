"""The bench of ideas: prior distillation, a mask, min-SNR and a moving average, on and off.

A dog and a person, ten photos of each, three seeds, the course's own settings and budget: an hour
and more of one core, two share it. Whatever is compared shares photos, class images, seed and
noise, so differences are taken picture by picture; their 95% intervals are bootstrapped over
trainings and pictures. An idea *helps* if one of the two scores rises for sure (its interval is
above zero) and the other does not fall for sure; it *hurts* the other way round. Nothing else is a
reason to make the trainer longer.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.bases import BaseModel, shipped_base
from helpers.bench.ideas_job import ARMS, PLAIN
from helpers.bench.lanes import Lanes, Task
from helpers.bench.report import Row, measured
from helpers.experiments.intervals import Interval, bootstrap
from helpers.experiments.judges import JUDGE, open_judge
from helpers.settings import ROOT, Settings
from helpers.tuning.config import FineTuneConfig

SUBJECTS = ROOT / "data" / "subjects"
SCORES = ("identity", "prompt")
Found = Mapping[tuple[str, int], Mapping[str, Any]]
"""The answers of ``helpers.bench.ideas_job`` by subject and seed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the bench does. ``photos`` of each subject, ``pictures`` for each prompt; ``changes``
    go into every training, none in a true run."""

    base: BaseModel
    work: Path
    judge: Path = JUDGE
    subjects: tuple[str, ...] = ("doppler", "wren")
    photos: int = 10
    seeds: tuple[int, ...] = (0, 1, 2)
    pictures: int = 4
    sampling_steps: int = 15
    changes: Mapping[str, Any] = field(default_factory=dict)


def quick_plan(base: BaseModel, work: Path, judge: Path = JUDGE) -> Plan:
    """The same walk with so few steps that nothing is learned."""
    short = {"n_steps": 4, "num_class_images": 2, "class_image_steps": 2, "batch_size": 2}
    aside = {"heldout_images": 1, "heldout_every": 2, "patience": 2}
    return Plan(
        base=base, work=work, judge=judge, subjects=("doppler",), photos=5, seeds=(0, 1),
        pictures=1, sampling_steps=2, changes={**short, **aside},
    )  # fmt: skip


def run(settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every row of the bench. Raises ``CourseError`` when a job fails; its log then stays."""
    base = shipped_base(settings.base_model, settings=settings)
    work = settings.outputs / "bench" / "ideas_work"
    return measure((quick_plan if quick else Plan)(base=base, work=work), say=say)


def measure(plan: Plan, *, say: Callable[[str], None]) -> list[Row]:
    """The rows of a plan. Finished jobs are kept until all are done, so that a bench that was
    interrupted goes on; then its working folder goes."""
    open_judge(plan.judge)  # one that cannot judge is better known before the jobs than after
    tasks = {(name, seed): task(plan, name, seed) for seed in plan.seeds for name in plan.subjects}
    found = {key: answer for key, one in tasks.items() if (answer := finished(one))}
    chains = {key: [one] for key, one in tasks.items() if key not in found}
    found |= {key: answers[0] for key, answers in Lanes(say=say).run(chains).items()}
    shutil.rmtree(plan.work, ignore_errors=True)
    return rows_of({key: found[key] for key in tasks})


def task(plan: Plan, name: str, seed: int) -> Task:
    """The job of one subject and seed."""
    home = SUBJECTS / name
    info = json.loads((home / "dataset_info.json").read_text(encoding="utf-8"))
    config = FineTuneConfig.for_base(
        plan.base, concept_prompt=info["instance_prompt"], class_prompt=info["class_prompt"],
        seed=seed, **plan.changes,
    )  # fmt: skip
    return Task(
        module="helpers.bench.ideas_job",
        folder=plan.work / f"{name}-seed-{seed}",
        given={
            "base": str(plan.base.folder),
            "base_hash": plan.base.hash,
            "judge": str(plan.judge),
            "judge_hash": hashlib.sha256(plan.judge.read_bytes()).hexdigest(),
            "subject": name,
            "config": config.to_mapping(),
            "photos": _pictures(home / "instance")[: plan.photos],
            "heldout": _pictures(home / "heldout"),
            "bank": str(plan.work / "bank"),
            "prompt": config.concept_prompt,
            "class_prompt": config.class_prompt,
            "pictures": plan.pictures,
            "sampling_steps": plan.sampling_steps,
        },
    )


def finished(one: Task) -> dict[str, Any] | None:
    """What a job of an earlier run answered, if it was asked the same."""
    try:
        asked = json.loads((one.folder / "request.json").read_text(encoding="utf-8"))
        if {key: asked.get(key) for key in one.given} == one.given:
            return json.loads((one.folder / "answer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    return None


def _pictures(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.jpg"))]


def rows_of(found: Found) -> list[Row]:
    """Scores without any idea, then what each idea adds to them, what a step of it costs, and the
    verdict; of both subjects together, and of each."""
    groups = {"both": list(found)} | {
        name: [key for key in found if key[0] == name]
        for name in dict.fromkeys(k[0] for k in found)
    }
    rows = [_row(f"{PLAIN}.{score}", bootstrap([found[key][PLAIN][score] for key in found]))
            for score in SCORES]  # fmt: skip
    rows += _counts(PLAIN, found)
    for arm in ARMS:
        if arm == PLAIN:
            continue
        gains = {
            (who, score): gain(found, keys, arm, score)
            for who, keys in groups.items()
            for score in SCORES
        }
        rows += [_row(f"{arm}.{score}.{who}", one) for (who, score), one in gains.items()]
        rows += _counts(arm, found)
        rows.append(Row(name=f"{arm}.verdict", value=verdict([gains["both", s] for s in SCORES])))
    return rows


def gain(found: Found, keys: Sequence[tuple[str, int]], arm: str, score: str) -> Interval:
    """How much a score is higher with an idea than without, over these trainings."""
    return bootstrap(
        [
            [one - other for one, other in zip(found[k][arm][score], found[k][PLAIN][score],
                                               strict=True)]
            for k in keys
        ]
    )  # fmt: skip


def verdict(gains: Sequence[Interval]) -> str:
    """``helps``, ``hurts``, ``trades`` one score for the other, or ``no difference``."""
    rises = any(one.low > 0 for one in gains)
    falls = any(one.high < 0 for one in gains)
    if rises and falls:
        return "trades"
    return "helps" if rises else "hurts" if falls else "no difference"


def _row(name: str, one: Interval) -> Row:
    return Row(name=name, value=one.value, spread=(one.low, one.high))


def _counts(arm: str, found: Found) -> list[Row]:
    """Step times as a multiple of the plain one's of the same job; steps that were kept."""
    shares = [one[arm]["step_s"] / one[PLAIN]["step_s"] for one in found.values()]
    kept = [float(one[arm]["kept"]) for one in found.values()]
    rows = [measured(f"{arm}.kept", kept, "steps")]
    if arm == PLAIN:
        seconds = [one[arm]["step_s"] for one in found.values()]
        return [measured(f"{arm}.step", seconds, "processor s"), *rows]
    return [measured(f"{arm}.step", shares, "of the plain step"), *rows]
