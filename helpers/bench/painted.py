"""How good adapters are: ``python -m helpers.bench.painted FOLDER`` paints with them and judges.

Identity is likeness to photos that no training saw, on the subject's own prompt. The prompt score
is CLIP-T style agreement on prompts that put the subject elsewhere or draw it: a subject learned by
heart stays where its photos were taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.bench.lanes import serve
from helpers.startup import import_libraries

ELSEWHERE = (
    "{} on the beach",
    "{} in the snow",
    "{} in the city",
    "{} in the park",
)
DRAWN = ("a pencil sketch of", "a watercolour painting of")


def contexts(prompt: str) -> list[str]:
    """The prompts that put a subject elsewhere: ``prompt`` is "a photo of …"."""
    placed = [form.format(prompt) for form in ELSEWHERE]
    return placed + [prompt.replace("a photo of", manner, 1) for manner in DRAWN]


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Score every adapter of ``given["adapters"]`` (``None``: the bare base), by its name."""
    import_libraries()
    from helpers.bases import open_base
    from helpers.bench.job import read_pictures
    from helpers.experiments.judges import open_judge

    base, judge = open_base(Path(given["base"])), open_judge(Path(given["judge"]))
    heldout = read_pictures(given["heldout"])
    return {
        name: score(base, judge, adapter and Path(adapter), heldout, given)
        for name, adapter in given["adapters"].items()
    }


def score(
    base: Any, judge: Any, adapter: Path | None, heldout: Sequence[Any], given: Mapping[str, Any]
) -> dict[str, float]:
    """``identity`` and ``prompt`` of one adapter, each from -1 to 1."""
    from helpers.hosting.generate import load_pipeline
    from helpers.tuning.adapter import load_adapter

    pipe = load_pipeline(base.folder)
    if adapter:
        load_adapter(pipe, adapter)
    found = scores_by_picture(pipe, base, judge, heldout, given)
    return {name: float(values.mean()) for name, values in found.items()}


def scores_by_picture(
    pipe: Any, base: Any, judge: Any, heldout: Sequence[Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """``identity`` and ``prompt`` of every picture ``(N,)`` that ``pipe`` paints.

    ``given`` has ``prompt``, ``class_prompt``, ``pictures`` (for each context; twice as many for
    identity) and ``sampling_steps``. Picture k always grows from the same noise.
    """
    import numpy as np

    from helpers.experiments.metrics import agreement
    from helpers.experiments.similarity import likeness
    from helpers.tuning.painting import BATCH, paint_batch

    def paint(prompt: str, count: int, first: int) -> list[Any]:
        pictures = []
        for begin in range(0, count, BATCH):
            seeds = range(first + begin, first + min(begin + BATCH, count))
            pictures += paint_batch(
                pipe, prompt, seeds,
                side=base.resolution, steps=given["sampling_steps"],
                guidance=base.registered.guidance,
            )  # fmt: skip
        return pictures

    prompt, plain = given["prompt"], given["class_prompt"]
    pairs = zip(contexts(prompt), contexts(plain), strict=True)
    agreed = [
        agreement(judge, paint(asked, given["pictures"], 1000 * (place + 1)), said)
        for place, (asked, said) in enumerate(pairs)
    ]
    own = paint(prompt, 2 * given["pictures"], 0)
    return {"identity": likeness(judge, own, heldout), "prompt": np.concatenate(agreed)}


if __name__ == "__main__":
    serve(run)
