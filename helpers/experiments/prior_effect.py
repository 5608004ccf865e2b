"""Prior preservation, on against off: the four numbers of DreamBooth's Table 3."""

from __future__ import annotations

from collections.abc import Mapping

from helpers.experiments.effect_chart import Effects, Line
from helpers.experiments.effects import difference, div_difference
from helpers.experiments.intervals import Interval
from helpers.experiments.measured import Measured

PUBLISHED = {"PRES": 0.493 - 0.664, "DIV": 0.391 - 0.371, "subject fidelity": 0.684 - 0.712,
             "prompt fidelity": 0.308 - 0.306}  # fmt: skip
"""With minus without (DreamBooth, arXiv 2208.12242, Table 3: Imagen, 15 subjects). Its judges are
DINO, LPIPS and CLIP: signs can be compared with, sizes cannot."""
BETTER = {"PRES": "lower: the class stays free", "DIV": "higher: more diverse",
          "subject fidelity": "higher: more alike",
          "prompt fidelity": "higher: says what was asked"}  # fmt: skip


def prior_effects(
    found: Measured, *, subject: str, step: int, on: str = "on", off: str = "off"
) -> dict[str, Interval]:
    """On minus off at one step, picture by picture: PRES and DIV of the class prompt, fidelity of
    the subject's, prompt fidelity of the one on the beach."""

    def arms(prompt: str) -> tuple[dict, dict]:
        label = {"subject": subject, "step": step, "prompt": prompt}
        return {**label, "variant": on}, {**label, "variant": off}

    return {
        "PRES": difference(found, "likeness", *arms("class")),
        "DIV": div_difference(found, *arms("class")),
        "subject fidelity": difference(found, "likeness", *arms("subject")),
        "prompt fidelity": difference(found, "agreement", *arms("on the beach")),
    }


def beside_the_paper(
    found: Mapping[str, Mapping[str, Interval]], *, what: str = "on minus off"
) -> Effects:
    """``found`` by subject, as ``prior_effects`` gives it, beside the published differences."""
    lines = [
        Line(
            name=name,
            better=BETTER[name],
            published=PUBLISHED[name],
            found={subject: effects[name] for subject, effects in found.items()},
        )
        for name in PUBLISHED
    ]
    return Effects(what=what, lines=lines)
