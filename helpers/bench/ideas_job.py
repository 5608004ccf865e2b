"""One subject and seed, trained with each idea: ``python -m helpers.bench.ideas_job FOLDER``.

All share photos, class images, noise and networks; the base is bare again before each. What the
moving average keeps comes from the training without any idea, which it does not change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from helpers.bench.lanes import serve

if TYPE_CHECKING:
    from helpers.bench.ideas_objectives import Averaged
    from helpers.tuning.loop import Objective

PLAIN, AVERAGED = "plain", "averaged"
TRAINED = (PLAIN, "distilled", "masked", "min-snr")
ARMS = (*TRAINED, AVERAGED)


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """For each arm: scores of every picture, processor seconds of a step, steps and what was kept.

    ``given`` is a request of ``helpers.bench.ideas``.
    """
    import torch

    from helpers.bases import open_base
    from helpers.bench.ideas_objectives import Averaged
    from helpers.bench.job import read_pictures
    from helpers.bench.painted import scores_by_picture
    from helpers.experiments.judges import open_judge
    from helpers.tuning.config import FineTuneConfig
    from helpers.tuning.loop import train
    from helpers.tuning.networks import load_networks
    from helpers.tuning.painting import painting_pipeline
    from helpers.tuning.presets import EVEN
    from helpers.tuning.priors import class_images
    from helpers.tuning.trainable import restore_base

    torch.set_num_threads(len(given["cores"]))
    base, judge = open_base(Path(given["base"])), open_judge(Path(given["judge"]))
    config = FineTuneConfig.from_mapping(given["config"])
    photos, heldout = read_pictures(given["photos"]), read_pictures(given["heldout"])
    networks = load_networks(base)
    bank = class_images(networks, config, base, folder=Path(given["bank"]))
    masks = subject_masks(given["subject"], photos)
    found: dict[str, Any] = {}

    def judged() -> dict[str, list[float]]:
        pipe = painting_pipeline(networks)
        scores = scores_by_picture(pipe, base, judge, heldout, given)
        return {name: values.tolist() for name, values in scores.items()}

    for arm in TRAINED:
        objective = _objective(arm, networks, config, masks, lambda: load_networks(base))
        average = Averaged(networks) if arm == PLAIN else None
        # The course's own weighting of noise is what min-SNR alone would replace.
        asked = config.replace(loss_weighting=EVEN) if arm == "min-snr" else config
        steps = train(networks, asked, photos, bank, objective=objective)
        found[arm], spent = _trained(steps, average)
        found[arm] |= judged()
        if average:
            average.put()
            found[AVERAGED] = {**found[arm], "step_s": found[arm]["step_s"] + spent, **judged()}
        restore_base(networks)
    return found


def subject_masks(name: str, photos: list[Any]) -> list[Any]:
    """Where the subject is on its first photos, from the world that drew them: exact, as no
    photograph has them. Raises ``TrainingError`` when the photos are not those of this world."""
    import numpy as np

    from helpers.errors import TrainingError
    from helpers.pocket.world.scene import render
    from helpers.pocket.world.subjects import SUBJECTS, subject_scenes

    subject = next(one for one in SUBJECTS if one.name == name)
    drawings = [render(scene, subject.side) for scene in subject_scenes(subject)[: len(photos)]]
    for number, (photo, drawing) in enumerate(zip(photos, drawings, strict=True), 1):
        apart = np.asarray(photo, float) - np.asarray(drawing.image, float)
        if np.abs(apart).mean() > 8:  # what JPEG takes away is a tenth of that
            raise TrainingError(
                f"photo {number} of {name} is not what the drawn world shows there",
                "the world has changed since its photos were drawn",
                "draw them again: python -m helpers.pocket.world.subjects",
            )
    return [drawing.mask for drawing in drawings]


def _objective(
    arm: str, networks: Any, config: Any, masks: list[Any], bare: Callable[[], Any]
) -> Objective:
    from helpers.bench.ideas_objectives import Distilled, Masked, MinSnr
    from helpers.tuning.loop import dreambooth

    if arm == PLAIN:
        return dreambooth
    if arm == "distilled":
        return Distilled(bare())
    if arm == "masked":
        return Masked(networks, config, masks)
    return MinSnr(networks)


def _trained(steps: Any, average: Averaged | None) -> tuple[dict[str, Any], float]:
    """Go through a training's steps; what it says of itself, and what the average cost a step."""
    seconds, averaging, measured = [], [], {}
    while True:
        began = time.process_time()
        step = next(steps, None)
        if step is None:
            break
        stepped = time.process_time()
        if step.held_out_loss is None:
            seconds.append(stepped - began)
        else:
            measured[step.step] = step.held_out_loss
        if average:
            average.take(step)
            averaging.append(time.process_time() - stepped)
        last = step.step
    kept = min(measured, key=lambda number: measured[number]) if measured else last
    facts = {"step_s": median(seconds[1:]), "steps": last, "kept": kept}
    return facts, fmean(averaging[1:]) if averaging else 0.0


if __name__ == "__main__":
    serve(run)
