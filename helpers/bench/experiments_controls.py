"""The protocol and the controls of the experiments' bench: what ``holds`` speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from PIL import Image

from helpers.bench.report import Row
from helpers.errors import ExperimentError
from helpers.experiments import plans
from helpers.experiments.controls import (
    NEAR_COPY,
    held_out_control,
    judge_control,
    learning_control,
    untrained_control,
)
from helpers.experiments.judges import PocketJudge
from helpers.experiments.measure import Measured, measure
from helpers.experiments.store import CellResult
from helpers.experiments.sweep import Subject, Sweep
from helpers.photos.load import load_photo

Results = Mapping[str, CellResult]


class Protocols(Protocol):
    """What is read of the bench's plan."""

    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def pictures(self) -> int: ...
    @property
    def usual(self) -> int: ...


def control_rows(
    plan: Protocols, sweeps: Mapping[str, Sweep], found: Mapping[str, Measured], results: Results,
    judge: PocketJudge,
) -> list[Row]:  # fmt: skip
    """A margin is how far a control was passed by; "caught" is 1 where a cheat was."""
    everybody = {
        one.training: one for sweep in sweeps.values() for one in sweep.subjects
    }.values()  # fmt: skip
    apart = min(
        held_out_control(_open(one.training), _open(one.heldout)).value for one in everybody
    )
    similar = {one.name: _open(one.heldout) for one in sweeps["similar"].subjects}
    judged = judge_control(judge, similar)
    shuffled = judge_control(judge, _mixed(similar))
    tuned, _, heldout = _pictures(sweeps["steps"], results, plans.LORA.name, plan.usual)
    idle, *_ = _pictures(sweeps["untrained"], results, plans.UNTRAINED.name, 1)
    learned = learning_control(judge, tuned, idle, heldout)
    wordless, base, _ = _pictures(sweeps["untrained"], results, plans.WORDLESS.name, 1)
    untrained = untrained_control(judge, wordless, base, heldout)
    passes = learning_control(judge, wordless, base, heldout).holds
    return [
        Row(name="protocol.seeds", value=float(len(plan.seeds))),
        Row(name="protocol.pictures", value=float(plan.pictures)),
        Row(name="control.judge.margin", value=judged.value - judged.bound),
        Row(name="control.shuffled-names.caught", value=float(not shuffled.holds)),
        Row(name="control.held-out.margin", value=apart - NEAR_COPY),
        Row(name="control.copies.caught", value=float(_copies_caught(sweeps, results, judge))),
        Row(name="control.learning.margin", value=learned.value - learned.bound),
        Row(name="control.untrained.gain", value=untrained.value),
        Row(name="control.untrained.caught", value=float(not passes)),
        Row(name="control.swap.changed", value=float(_changed(sweeps, results)), unit="pictures"),
    ]


def _mixed(real: Mapping[str, list[Image.Image]]) -> dict[str, list[Image.Image]]:
    """The same pictures with every second name exchanged."""
    first, second = real.values()
    return {
        "this": [*first[::2], *second[1::2]],
        "that": [*first[1::2], *second[::2]],
    }


def _copies_caught(sweeps: Mapping[str, Sweep], results: Results, judge: PocketJudge) -> bool:
    """Training pictures passed off as held-out ones must stop the measuring."""
    sweep = sweeps["untrained"]
    (subject,) = sweep.subjects
    cheat = replace(subject, heldout=subject.training[: len(subject.heldout)])
    somewhere = next(iter(results.values())).folder.parent
    try:
        measure(replace(sweep, subjects=(cheat,)), results, judge, store=somewhere)
    except ExperimentError:
        return True
    return False


def _pictures(
    sweep: Sweep, results: Results, variant: str, step: int
) -> tuple[list[list[Image.Image]], list[list[Image.Image]], list[Image.Image]]:
    """By seed: pictures of the subject with the training and from the same noise without; and the
    held-out ones."""
    (subject,) = sweep.subjects
    text = plans.SUBJECT.of(subject)
    trials = [one for one in sweep.trials if one.variant.name == variant]
    bare = next(results[one.cell.hash] for one in trials if one.seed is None)
    tuned = [results[one.cell.hash] for one in trials if one.seed is not None]
    base = bare.images(0, 0, text)
    return [one.images(0, step, text) for one in tuned], [base] * len(tuned), _open(subject.heldout)


def _changed(sweeps: Mapping[str, Sweep], results: Results) -> int:
    """Pictures of the first subject that another adapter, put on and taken off, has changed."""
    changed = 0
    for name in ("similar-adapters", "different-adapters"):
        sweep = sweeps[name]
        text = plans.SUBJECT.of(sweep.subjects[0])
        for trial in sweep.trials:
            if trial.seed is None:
                continue
            cell = results[trial.cell.hash]
            pairs = zip(*(cell.paths(k, sweep.steps[-1], text) for k in (0, 1)), strict=True)
            changed += sum(one.read_bytes() != two.read_bytes() for one, two in pairs)
    return changed


def _open(paths: Subject | tuple) -> list[Image.Image]:
    return [load_photo(path).image for path in paths]  # type: ignore[union-attr]
