"""The six recommendations of JumpStart's publication, held against our numbers.

Each rule below was written down before the numbers were there, and says in its own words what it
looks at. ``unclear`` is a verdict too: intervals that cover both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.bench.costs import Costs
from helpers.bench.experiments_shapes import LEAST, Found, Marks
from helpers.bench.report import Row, measured
from helpers.experiments import plans
from helpers.experiments.effects import Arm, above, below, difference
from helpers.experiments.intervals import Interval
from helpers.experiments.measured import Measured
from helpers.experiments.similarity import SEEN
from helpers.experiments.tidy import Tidy

CONFIRM, QUALIFY, CONTRADICT, UNCLEAR = "confirm", "qualify", "contradict", "unclear"
MUCH_MORE_MEMORY = 1.25
"""From here on an instance of the next size is a sensible precaution."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """``says`` is the publication's recommendation, ``rule`` how ours is reached."""

    number: int
    says: str
    rule: str


ADVICE = (
    Advice(number=1, says="4 to 20 good pictures",
           rule="confirm if with 4, 8 and 16 photos likeness is beyond that of an untrained "
                f"adapter by more than {SEEN:g}; contradict if not even with 16; else qualify"),
    Advice(number=2, says="200 to 400 steps for animals, more for faces",
           rule="confirm if the animal is learned by the usual step (as above) and the face still "
                "gains after it; qualify if the face does not; contradict if the animal is not "
                "learned"),
    Advice(number=3, says="prior preservation only for faces",
           rule="confirm if it frees the face's class (PRES or DIV) and not the animal's; qualify "
                "if both; contradict if only the animal's"),
    Advice(number=4, says="its instance type: a larger GPU for prior preservation",
           rule="confirm if it takes a quarter more memory in full and with LoRA; qualify if in "
                "one of them; contradict if in none (this machine's memory, pocket base, "
                "single precision; of several measurements all must say so)"),
    Advice(number=5, says="similar subjects are forgotten: do not teach them to one model",
           rule="confirm if the last one wins wherever it was tried (of the first one's pictures a "
                "tenth or more turn to it); contradict if nowhere; qualify if in some"),
    Advice(number=6, says="a low rate and growing steps",
           rule="the low rate at the last step against the usual one at as many times fewer: "
                "confirm if the beach prompt or PRES is better and likeness not worse; contradict "
                "if one is worse and none better; qualify if all are the same, at that many times "
                "the cost"),
)  # fmt: skip


def advice_rows(
    plan: Any, found: Found, shapes: Sequence[Row], costs: Sequence[Costs]
) -> list[Row]:  # fmt: skip
    """The numbers that the six rules look at, and their six verdicts."""
    animal = beyond_untrained(found, "animal", plan.usual, variant=plans.OFF.name)
    photos = {
        "advice.photos.4": beyond_untrained(found, "photos", plan.usual, variant=plans.LORA.name),
        "advice.photos.8": animal,
        "advice.photos.16": beyond_untrained(found, "steps", plan.usual, variant=plans.LORA.name),
    }
    grows = {
        "advice.steps.animal-usual": animal,
        "advice.steps.animal-later": _later(found["steps"], plan, variant=plans.LORA.name),
        "advice.steps.face-later": _later(found["face"], plan, variant=plans.OFF.name),
    }
    rate = _rates(plan, found)
    reproduced = {row.name: row.reproduced for row in shapes}
    ratios = {
        way: [
            one.found[f"{way} on"].training_bytes / one.found[f"{way} off"].training_bytes
            for one in costs
        ]
        for way in (plans.LORA.name, plans.FULL.name)
    }
    verdicts = (
        photos_verdict(list(photos.values())),
        steps_verdict(animal, grows["advice.steps.face-later"]),
        priors_verdict(reproduced),
        memory_verdict(list(ratios.values())),
        forgetting_verdict(
            [said for name, said in reproduced.items() if name.endswith("last-wins")]
        ),
        rate_verdict(rate),
    )
    numbers = {**photos, **grows, **{f"advice.rate.{name}": one for name, one in rate.items()}}
    return [
        *(
            Row(name=name, value=one.value, spread=(one.low, one.high))
            for name, one in numbers.items()
        ),
        *(measured(f"advice.memory.{way}", some) for way, some in ratios.items()),
        *(
            Row(name=f"advice.{one.number}", value=verdict)
            for one, verdict in zip(ADVICE, verdicts, strict=True)
        ),
    ]


def photos_verdict(gains: Sequence[Interval]) -> str:
    """What was learned from 4, 8 and 16 photos."""
    said = [above(SEEN)(one) for one in gains]
    if all(one == "yes" for one in said):
        return CONFIRM
    return {"yes": QUALIFY, "no": CONTRADICT}.get(said[-1], UNCLEAR)


def steps_verdict(animal: Interval, face_later: Interval) -> str:
    """What was learned of the animal by the usual step, the face's gain from there to the last."""
    learned = above(SEEN)(animal)
    if learned != "yes":
        return CONTRADICT if learned == "no" else UNCLEAR
    more = above(LEAST)(face_later)
    return {"yes": CONFIRM, "no": QUALIFY}.get(more, UNCLEAR)


def priors_verdict(reproduced: Mapping[str, str | None]) -> str:
    """Whose class it frees, by the shapes on PRES and DIV."""

    def freed(who: str) -> str:
        said = {reproduced[f"shape.prior.{who}.{name}"] for name in ("pres-falls", "div-rises")}
        return "yes" if "yes" in said else "no" if said == {"no"} else "unclear"

    face, animal = freed("face"), freed("animal")
    if face == "yes":
        return QUALIFY if animal == "yes" else CONFIRM if animal == "no" else UNCLEAR
    return CONTRADICT if (face, animal) == ("no", "yes") else UNCLEAR


def memory_verdict(ratios: Sequence[Sequence[float]]) -> str:
    """Memory of a training with prior preservation, divided by that without: by way of training,
    one number a measurement."""
    much = [min(some) >= MUCH_MORE_MEMORY for some in ratios]
    if any(much):
        return CONFIRM if all(much) else QUALIFY
    return CONTRADICT if max(map(max, ratios)) < MUCH_MORE_MEMORY else UNCLEAR


def forgetting_verdict(last_wins: Sequence[str | None]) -> str:
    """What was found of "the last one wins", wherever it was tried."""
    if all(one == "yes" for one in last_wins):
        return CONFIRM
    if all(one == "no" for one in last_wins):
        return CONTRADICT
    return QUALIFY if "yes" in last_wins else UNCLEAR


def rate_verdict(rate: Mapping[str, Interval]) -> str:
    """Low rate minus usual rate: ``likeness`` and ``beach`` higher, ``pres`` lower is better."""
    better: dict[str, Callable[[Interval], str]] = {
        "likeness": above(LEAST), "beach": above(LEAST), "pres": below(-LEAST),
    }  # fmt: skip
    worse: dict[str, Callable[[Interval], str]] = {
        "likeness": below(-LEAST), "beach": below(-LEAST), "pres": above(LEAST),
    }  # fmt: skip
    gains = [name for name, one in rate.items() if better[name](one) == "yes"]
    losses = [name for name, one in rate.items() if worse[name](one) == "yes"]
    if losses:
        return UNCLEAR if gains else CONTRADICT
    if set(gains) & {"beach", "pres"}:
        return CONFIRM
    same = all(better[name](one) == worse[name](one) == "no" for name, one in rate.items())
    return QUALIFY if same or gains else UNCLEAR


def beyond_untrained(found: Found, sweep: str, step: int, **label: Any) -> Interval:
    """Likeness beyond that of an untrained adapter, from the same noise."""
    untrained = {"variant": plans.UNTRAINED.name, "prompt": "subject", "step": 1}
    both = _together(found[sweep], found["untrained"])
    return difference(both, "likeness", {**label, "prompt": "subject", "step": step}, untrained)


def _later(found: Measured, plan: Marks, **label: Any) -> Interval:
    arm: Arm = {**label, "prompt": "subject"}
    return difference(found, "likeness", {**arm, "step": plan.late}, {**arm, "step": plan.usual})


def _rates(plan: Any, found: Found) -> dict[str, Interval]:
    both = _together(found["rate"], found["steps"])

    def change(column: str, prompt: str) -> Interval:
        low = {"variant": plan.low_rate.name, "step": plan.late, "prompt": prompt}
        usual = {"variant": plans.LORA.name, "step": plan.early, "prompt": prompt}
        return difference(both, column, low, usual)

    return {
        "likeness": change("likeness", "subject"),
        "beach": change("agreement", "on the beach"),
        "pres": change("likeness", "class"),
    }


def _together(one: Measured, other: Measured) -> Measured:
    """The pictures of both, to compare an arm of one with an arm of the other."""
    rows = [*one.pictures.records(), *other.pictures.records()]
    return Measured(
        pictures=Tidy.of(one.pictures.columns, rows), summary=one.summary, costs=one.costs
    )
