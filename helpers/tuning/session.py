"""A whole training, from a base on disk to trained networks and what a manifest says of them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.tuning.checkpoint import Checkpoints
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.heldout import may_be_best
from helpers.tuning.loop import Step, train
from helpers.tuning.networks import Networks, default_device
from helpers.tuning.precision import choose_precision, machine_warnings, memory_explained
from helpers.tuning.priors import class_images as paint_class_images
from helpers.tuning.shelf import BaseShelf
from helpers.tuning.subjects import Subject
from helpers.tuning.trainable import word_warnings

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Networks as a training left them, and what a manifest says of it."""

    networks: Networks
    facts: dict[str, Any]


@contextmanager
def trained(
    images: Sequence[Image.Image],
    config: FineTuneConfig,
    base: BaseModel,
    *,
    class_images: Sequence[Image.Image] | None = None,
    others: Sequence[Subject] = (),
    prior_folder: Path | None = None,
    shelf: BaseShelf | None = None,
    checkpoints: Checkpoints | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_class_image: Callable[[int, int], None] | None = None,
    deadline: float | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Iterator[Trained]:
    """Networks that were trained on ``images``, for as long as the block lasts.

    The arguments and errors are those of ``helpers.tuning.fine_tune.fine_tune``.
    """
    begin = on_stage or (lambda _: None)
    config.check_base(base)
    if not images:
        raise TrainingError("There is nothing to learn from", "No instance image was given")
    device = default_device()
    # Full fine-tuning leaves nothing of a base that a next job could use.
    keeps = config.keep_base and config.method == "lora"
    with _networks(config, base, shelf if keeps else None, device) as networks:
        subjects = [
            Subject(
                images=images,
                concept_prompt=config.concept_prompt,
                class_prompt=config.class_prompt,
                class_images=class_images or (),
            ),
            *others,
        ]
        warnings = [
            *config.warnings(networks.tokenizer),
            *machine_warnings(config, device),
            *word_warnings(networks, config, subjects),
        ]
        begin("priors")
        if config.with_prior_preservation:
            with memory_explained(config):
                subjects = _with_class_images(
                    networks, config, base, subjects,
                    folder=prior_folder if config.prior_bank else None,
                    on_image=on_class_image,
                    deadline=deadline,
                )  # fmt: skip
        begin("train")
        first, *rest = subjects
        steps: list[Step] = []
        for step in train(
            networks, config, images, first.class_images,
            others=rest, checkpoints=checkpoints, deadline=deadline,
        ):  # fmt: skip
            steps.append(step)
            if on_step:
                on_step(step)
        begin("package")
        yield Trained(
            networks=networks,
            facts={
                "prompt": first.concept_prompt,
                "token": first.token,
                "class_noun": first.class_noun,
                "subjects": [_described(subject) for subject in subjects],
                "configuration": config.to_mapping(),
                "seed": config.seed,
                "versions": {"python": platform.python_version()}
                | {name: version(name) for name in LIBRARIES},
                "metrics": _metrics(steps, config, subjects),
                "warnings": warnings,
            },
        )


def _networks(
    config: FineTuneConfig, base: BaseModel, shelf: BaseShelf | None, device: Any
) -> AbstractContextManager[Networks]:
    shelf = shelf or BaseShelf(most=0)
    return shelf.lend(base, device=device, dtype=choose_precision(config, device).weights)


def _with_class_images(
    networks: Networks,
    config: FineTuneConfig,
    base: BaseModel,
    subjects: Sequence[Subject],
    **how: Any,
) -> list[Subject]:
    """The subjects with their class images; those of one class are painted once."""
    painted: dict[str, Sequence[Image.Image]] = {}
    for subject in subjects:
        prompt = subject.class_prompt
        if subject.class_images or prompt in painted:
            continue
        painted[prompt] = paint_class_images(
            networks, config.replace(class_prompt=prompt), base, **how
        )
    return [
        replace(one, class_images=one.class_images or painted[one.class_prompt]) for one in subjects
    ]


def _described(subject: Subject) -> dict[str, str]:
    return {
        "prompt": subject.concept_prompt,
        "class_prompt": subject.class_prompt,
        "token": subject.token,
        "class_noun": subject.class_noun,
    }


def _metrics(
    steps: Sequence[Step], config: FineTuneConfig, subjects: Sequence[Subject]
) -> dict[str, Any]:
    """Losses averaged over the first and the last tenth: one step's alone says little.

    No times: the same training must give the same manifest.
    """
    tenth = max(len(steps) // 10, 1)
    first, last = steps[:tenth], steps[-tenth:]
    class_images = {one.class_prompt: len(one.class_images) for one in subjects}
    metrics: dict[str, Any] = {
        "images": sum(len(subject.images) for subject in subjects),
        "class_images": sum(class_images.values()),
        "steps": len(steps),
        "instance_loss_first": round(fmean(step.instance_loss for step in first), 6),
        "instance_loss_last": round(fmean(step.instance_loss for step in last), 6),
    }
    if config.with_prior_preservation:
        for name, part in (("first", first), ("last", last)):
            losses = [step.prior_loss for step in part if step.prior_loss is not None]
            metrics[f"prior_loss_{name}"] = round(fmean(losses), 6)
    measured = {step.step: step.held_out_loss for step in steps if step.held_out_loss is not None}
    if measured:
        total = steps[-1].total
        able = [step for step in measured if may_be_best(step, total)]
        kept = min(able, key=lambda step: measured[step]) if config.patience else len(steps)
        metrics |= {
            "heldout_images": sum(config.heldout_of(len(one.images)) for one in subjects),
            "held_out_loss": round(measured[kept], 6),
            "kept_step": kept,
        }
    return metrics
