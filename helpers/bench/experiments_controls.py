"""The protocol and the controls of the experiments' bench: what ``holds`` speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from PIL import Image

from helpers.bench.experiments_advice import beyond_untrained
from helpers.bench.report import Row
from helpers.errors import ExperimentError
from helpers.experiments import plans
from helpers.experiments.controls import (
    NEAR_COPY,
    held_out_control,
    idle,
    judge_control,
    learned,
)
from helpers.experiments.effects import BASE, difference
from helpers.experiments.judges import PocketJudge
from helpers.experiments.measure import measure
from helpers.experiments.measured import Measured
from helpers.experiments.sweep import Subject, Sweep
from helpers.photos.load import load_photo


class Protocols(Protocol):
    """What is read of the bench's plan."""

    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def pictures(self) -> int: ...
    @property
    def usual(self) -> int: ...


def control_rows(
    plan: Protocols, sweeps: Mapping[str, Sweep], found: Mapping[str, Measured], judge: PocketJudge
) -> list[Row]:
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
    taught = learned(beyond_untrained(found, "steps", plan.usual, variant=plans.LORA.name))
    wordless = {"variant": plans.WORDLESS.name, "prompt": "subject"}
    nothing = difference(
        found["untrained"], "likeness", {**wordless, "step": 1}, {**wordless, **BASE}
    )
    return [
        Row(name="protocol.seeds", value=float(len(plan.seeds))),
        Row(name="protocol.pictures", value=float(plan.pictures)),
        Row(name="control.judge.margin", value=judged.value - judged.bound),
        Row(name="control.shuffled-names.caught", value=float(not shuffled.holds)),
        Row(name="control.held-out.margin", value=apart - NEAR_COPY),
        Row(name="control.copies.caught", value=float(_copies_caught(sweeps, judge))),
        Row(name="control.learning.margin", value=taught.value - taught.bound),
        Row(name="control.untrained.gain", value=idle(nothing).value),
        Row(name="control.untrained.caught", value=float(not learned(nothing).holds)),
        Row(name="control.swap.changed", value=float(_changed(sweeps, found)), unit="pictures"),
    ]


def _mixed(real: Mapping[str, list[Image.Image]]) -> dict[str, list[Image.Image]]:
    """The same pictures with every second name exchanged."""
    first, second = real.values()
    return {
        "this": [*first[::2], *second[1::2]],
        "that": [*first[1::2], *second[::2]],
    }


def _copies_caught(sweeps: Mapping[str, Sweep], judge: PocketJudge) -> bool:
    """Training pictures passed off as held-out ones must stop the measuring."""
    sweep = sweeps["untrained"]
    (subject,) = sweep.subjects
    cheat = replace(subject, heldout=subject.training[: len(subject.heldout)])
    try:
        # There are no pictures: whoever misses them has let the cheat pass.
        measure(replace(sweep, subjects=(cheat,)), {}, judge, store=Path())
    except ExperimentError:
        return True
    except KeyError:
        pass
    return False


def _changed(sweeps: Mapping[str, Sweep], found: Mapping[str, Measured]) -> int:
    """Pictures of the first subject that another adapter, put on and taken off, has changed."""
    changed = 0
    for name in ("similar-adapters", "different-adapters"):
        first, last = (subject.name for subject in sweeps[name].subjects)
        rows = found[name].pictures.where(subject=first, prompt="subject")
        before, swapped = (
            {(row["seed"], row["picture"]): row["digest"] for row in some.records()}
            for some in (rows.where(after=first), rows.where(after=last))
        )
        changed += sum(swapped[key] != digest for key, digest in before.items())
    return changed


def _open(paths: Subject | tuple) -> list[Image.Image]:
    return [load_photo(path).image for path in paths]  # type: ignore[union-attr]
