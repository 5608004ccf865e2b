"""Where to stop a training: what different signs would say, and what each step looks like."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

from helpers.errors import ExperimentError
from helpers.experiments.effects import difference
from helpers.experiments.measured import Measured
from helpers.tables import Table, Tabular

SUFFERS = -0.02
"""A prompt suffers where its fidelity has fallen by more than this, the whole interval counted."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What one sign says. ``step`` is ``None`` where it says nothing, 0 for "do not begin"."""

    sign: str
    step: int | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Stops(Tabular):
    """Several signs, and the numbers at the step of each: ``numbers[step]`` by column."""

    stops: tuple[Stop, ...]
    numbers: dict[int, dict[str, float]]

    def step_of(self, sign: str) -> int | None:
        """What that sign says. Raises ``ExperimentError`` for one that is not here."""
        for one in self.stops:
            if one.sign == sign:
                return one.step
        raise ExperimentError(f"there is no sign {sign!r}", "", "print the table to see them")

    @property
    def table(self) -> Table:
        columns = list(next(iter(self.numbers.values())))
        rows = []
        for one in self.stops:
            found = self.numbers.get(one.step, {}) if one.step is not None else {}
            shown = [f"{found[name]:.3f}" if name in found else "-" for name in columns]
            step = "never" if one.step is None else "the base" if not one.step else str(one.step)
            rows.append((one.sign, step, *shown))
        return Table(head=("who says stop", "step", *columns), rows=rows)


HELD_OUT, ALIKE, PROMPT = "lowest held-out loss", "most alike", "last before the beach suffers"


def where_to_stop(
    found: Measured, *, mine: int | None = None, variant: str, subject: str = "subject",
    context: str = "on the beach", suffers: float = SUFFERS,
) -> Stops:  # fmt: skip
    """Your own step beside that of the lowest held-out loss, of the highest subject fidelity, and
    the last one at which the prompt ``context`` is still obeyed as well as by the base.

    ``subject`` and ``context`` name prompts. Raises ``ExperimentError`` for a step that was not
    painted.
    """
    steps = [step for step in sorted(found.summary.values("step")) if step]
    if mine is not None and mine not in (0, *steps):
        raise ExperimentError(
            f"nothing was painted at step {mine}",
            "",
            f"mark one of {', '.join(map(str, steps))}, or 0 for the base",
        )
    losses = _held_out(found, variant)
    numbers = {step: _numbers(found, step, variant, subject, context, losses) for step in steps}
    alike = {step: row["subject fidelity"] for step, row in numbers.items()}
    obeyed = 0
    for step in steps:
        arm = {"prompt": context, "variant": variant}
        change = difference(found, "agreement", {**arm, "step": step}, {**arm, "step": 0})
        if change.high < suffers:
            break
        obeyed = step
    stops = [
        Stop(sign=HELD_OUT, step=min(losses, key=losses.__getitem__) if losses else None),
        Stop(sign=ALIKE, step=max(alike, key=alike.__getitem__)),
        Stop(sign=PROMPT, step=obeyed),
    ]
    if mine is not None:
        stops.insert(0, Stop(sign="you", step=mine))
    return Stops(stops=tuple(stops), numbers=numbers)


def _held_out(found: Measured, variant: str) -> dict[int, float]:
    losses: dict[int, list[float]] = defaultdict(list)
    for row in found.costs.where(variant=variant).records():
        if row["held_out_loss"] is not None:
            losses[row["step"]].append(row["held_out_loss"])
    return {step: fmean(values) for step, values in losses.items()}


def _numbers(
    found: Measured, step: int, variant: str, subject: str, context: str, losses: dict[int, float]
) -> dict[str, float]:
    rows = found.summary.where(step=step, variant=variant)

    def value(metric: str, prompt: str) -> float:
        (number,) = rows.where(metric=metric, prompt=prompt).column("value")
        return number

    numbers = {
        "subject fidelity": value("subject_fidelity", subject),
        context: value("prompt_fidelity", context),
    }
    return numbers | ({"held-out loss": losses[step]} if step in losses else {})
