"""The published shapes: each a number of our own, its interval, and what would reproduce it.

A direction counts from ``LEAST`` on, in cosines, and from ``LEAST_DIV`` on in DIV: a difference
that is sure to be there and too small to matter reproduces nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from helpers.bench.report import Row
from helpers.experiments import plans
from helpers.experiments.effects import (
    BASE,
    Arm,
    Verdict,
    above,
    below,
    contrast,
    difference,
    div_difference,
    kept_share,
    slope,
    within,
)
from helpers.experiments.intervals import Interval
from helpers.experiments.measured import Measured
from helpers.experiments.prior_effect import prior_effects
from helpers.experiments.similarity import SEEN

LEAST, LEAST_DIV = 0.01, 0.05
SMALL_COST, FLAT = SEEN, 0.05
"""In CLIP-T, DreamBooth's authors write, people see differences of 0.05."""
HALF = 0.5
"""Of what was learned: less left is forgotten, more is kept."""
TAKEN = 0.1
"""Of a subject's pictures: as many or more that turn to another are a win of that one."""

Found = Mapping[str, Measured]


class Marks(Protocol):
    """What is read of the bench's plan."""

    @property
    def steps(self) -> tuple[int, ...]: ...
    @property
    def early(self) -> int: ...
    @property
    def usual(self) -> int: ...
    @property
    def late(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Shape:
    """``claim`` is what was published, ``number`` what was measured for it."""

    name: str
    claim: str
    number: str
    find: Callable[[Found], Interval]
    verdict: Verdict

    def row(self, found: Found) -> Row:
        """The number with its 95% interval as spread, and whether that reproduces the claim."""
        one = self.find(found)
        return Row(
            name=self.name,
            value=one.value,
            spread=(one.low, one.high),
            reproduced=self.verdict(one),
        )


def shapes(plan: Marks) -> list[Shape]:
    """All of them, for a plan's marks."""
    ways = (plans.LORA.name, plans.FULL.name)
    return [
        *chain.from_iterable(_of_steps(plan, way) for way in ways),
        *chain.from_iterable(_of_priors(plan, who) for who in ("animal", "face")),
        *_of_sequences(),
    ]


def shape_rows(plan: Marks, found: Found) -> list[Row]:
    """A row for each shape."""
    return [shape.row(found) for shape in shapes(plan)]


def _of_steps(plan: Marks, way: str) -> list[Shape]:
    first, last = plan.steps[0], plan.steps[-1]

    def arm(prompt: str, step: int) -> Arm:
        return {"variant": way, "prompt": prompt, "step": step}

    def base(prompt: str) -> Arm:
        return {"variant": way, "prompt": prompt, **BASE}

    def other_class(found: Found) -> Interval:
        arms = [arm(prompt, step) for step in plan.steps for prompt in ("class", "a cat")]
        share = 1 / len(plan.steps)
        return contrast(found["steps"], "drift", arms, [share, -share] * len(plan.steps))

    return [
        Shape(
            name=f"shape.steps.{way}.fidelity-rises",
            claim="subject fidelity rises with steps",
            number="rise per doubling of the steps",
            find=lambda found: slope(
                found["steps"], "likeness", plan.steps, variant=way, prompt="subject"
            ),
            verdict=above(LEAST),
        ),
        Shape(
            name=f"shape.steps.{way}.beach-falls",
            claim='past some step prompt fidelity "on a beach" falls',
            number=f"step {last} minus step {first}",
            find=lambda found: difference(
                found["steps"], "agreement", arm("on the beach", last), arm("on the beach", first)
            ),
            verdict=below(-LEAST),
        ),
        Shape(
            name=f"shape.steps.{way}.pres-rises",
            claim="class pictures drift towards the subject: PRES rises",
            number=f"step {last} minus the base",
            find=lambda found: difference(
                found["steps"], "likeness", arm("class", last), base("class")
            ),
            verdict=above(LEAST),
        ),
        Shape(
            name=f"shape.steps.{way}.div-falls",
            claim="class pictures drift towards the subject: DIV falls",
            number=f"step {last} minus the base",
            find=lambda found: div_difference(found["steps"], arm("class", last), base("class")),
            verdict=below(-LEAST_DIV),
        ),
        Shape(
            name=f"shape.steps.{way}.other-class-last",
            claim="the other class is hit last",
            number="drift of the class minus drift of the cat, mean over steps",
            find=other_class,
            verdict=above(LEAST),
        ),
    ]


def _of_priors(plan: Marks, who: str) -> list[Shape]:
    subject = {"animal": "doppler", "face": "marlow"}[who]

    def effect(name: str) -> Callable[[Found], Interval]:
        return lambda found: prior_effects(found[who], subject=subject, step=plan.usual)[name]

    said = f"on minus off, step {plan.usual}"
    return [
        Shape(
            name=f"shape.prior.{who}.pres-falls", claim="prior preservation lowers PRES",
            number=said, find=effect("PRES"), verdict=below(-LEAST),
        ),
        Shape(
            name=f"shape.prior.{who}.div-rises", claim="prior preservation raises DIV",
            number=said, find=effect("DIV"), verdict=above(LEAST_DIV),
        ),
        Shape(
            name=f"shape.prior.{who}.cost-small", claim="at a small cost in subject fidelity",
            number=said, find=effect("subject fidelity"), verdict=above(-SMALL_COST),
        ),
        Shape(
            name=f"shape.prior.{who}.prompt-flat", claim="prompt fidelity about flat",
            number=said, find=effect("prompt fidelity"), verdict=within(FLAT),
        ),
    ]  # fmt: skip


def _of_sequences() -> list[Shape]:
    similar = (
        ("similar", "doppler", "fourier", plans.PLAIN.name),
        ("similar-back", "fourier", "doppler", plans.PLAIN.name),
        ("similar-full", "doppler", "fourier", plans.FULL.name),
    )
    different = (
        ("different", "riobugger", "doppler", plans.PLAIN.name),
        ("different-full", "riobugger", "doppler", plans.FULL.name),
    )

    def of_pair(
        find: Callable[[Measured, Arm, Arm], Interval], sweep: str, first: str, last: str, way: str
    ) -> Callable[[Found], Interval]:
        label = {"subject": first, "variant": way, "prompt": "subject"}
        early, late = {**label, "after": first}, {**label, "after": last}
        return lambda found: find(found[sweep], early, late)

    def rate_change(found: Measured, early: Arm, late: Arm) -> Interval:
        return difference(found, "identified", late, early)

    def forgotten(found: Measured, early: Arm, late: Arm) -> Interval:
        return difference(found, "likeness", early, late)

    numbers: Mapping[Callable[[Measured, Arm, Arm], Interval], str] = {
        rate_change: "identification rate of the first one: after the last minus before",
        kept_share: "share of the first one's gain that is left",
    }
    cases = (
        ("last-wins", "similar subjects: the last one wins", similar, rate_change, below(-TAKEN)),
        ("still-recognised", "different subjects: the first one is still recognised", different,
         rate_change, above(-TAKEN)),
        ("likeness-lost", "similar subjects: the first one's likeness is lost", similar,
         kept_share, below(HALF)),
        ("both-kept", "different subjects: both are kept", different, kept_share, above(HALF)),
    )  # fmt: skip

    return [
        *(
            Shape(
                name=f"shape.{sweep}.{name}",
                claim=f"{claim} ({first}, then {last}; {way})",
                number=numbers[find],
                find=of_pair(find, sweep, first, last, way),
                verdict=verdict,
            )
            for name, claim, pairs, find, verdict in cases
            for sweep, first, last, way in pairs
        ),
        *(
            Shape(
                name=f"shape.{sweep}.zero-forgetting",
                claim=f"separate adapters: zero forgetting ({first}, then {last})",
                number="fidelity just taught minus fidelity after the swap",
                find=of_pair(forgotten, sweep, first, last, plans.PLAIN.name),
                verdict=lambda one: "yes" if one.low == one.high == 0 else "no",
            )
            for sweep, first, last in (
                ("similar-adapters", "doppler", "fourier"),
                ("different-adapters", "riobugger", "doppler"),
            )
        ),
    ]


CURVES = (
    ("fidelity", "subject_fidelity", "subject"),
    ("beach", "prompt_fidelity", "on the beach"),
    ("pres", "pres", "class"),
    ("div", "div", "class"),
    ("cat-drift", "language_drift", "a cat"),
    ("copying", "memorisation_gap", "subject"),
)
"""What the table of steps shows: its name, the metric and the prompt."""


def number_rows(plan: Marks, found: Found) -> list[Row]:
    """The curves and the matrices behind the shapes, number by number, with their intervals."""
    rows = []
    for record in found["steps"].summary.records():
        for name, metric, prompt in CURVES:
            if (record["metric"], record["prompt"]) == (metric, prompt):
                rows.append(_number(f"steps.{record['variant']}.{record['step']}.{name}", record))
    for sweep, measured in found.items():
        if not sweep.startswith(("similar", "different")):
            continue
        for metric, name in (("subject_fidelity", "after"), ("identification_rate", "named-after")):
            for record in measured.summary.where(metric=metric).records():
                after = record["after"].replace(" ", "-") or "base"
                rows.append(_number(f"{sweep}.{record['subject']}.{name}-{after}", record))
    return rows


def _number(name: str, record: Mapping) -> Row:
    return Row(name=name, value=record["value"], spread=(record["low"], record["high"]))
