"""Fine-tuning in one call: class images, training, adapter. Notebook and container share it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.tuning.adapter import Adapter, write_adapter
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import Step, train
from helpers.tuning.lora import lora_tensors
from helpers.tuning.networks import default_device, load_networks
from helpers.tuning.precision import choose_precision, machine_warnings
from helpers.tuning.priors import class_images as paint_class_images
from helpers.tuning.prompts import class_noun, identifier

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors")


def fine_tune(
    images: Sequence[Image.Image],
    config: FineTuneConfig,
    base: BaseModel,
    out: Path,
    *,
    class_images: Sequence[Image.Image] | None = None,
    prior_folder: Path | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_class_image: Callable[[int, int], None] | None = None,
    deadline: float | None = None,
) -> Adapter:
    """Teach ``base`` the subject of ``images`` and write the adapter to the folder ``out``.

    Class images are given, or found in ``prior_folder``, or painted (and kept there). ``deadline``
    is a time of ``time.monotonic``. The adapter appears complete or not at all.

    Raises ``ConfigError`` when the configuration is for another base, ``BaseModelError`` when the
    base cannot be loaded, and ``TrainingError`` when no usable adapter comes out.
    """
    config.check_base(base)
    if not images:
        raise TrainingError("There is nothing to learn from", "No instance image was given")
    device = default_device()
    networks = load_networks(base, device=device, dtype=choose_precision(config, device).weights)
    warnings = [*config.warnings(networks.tokenizer), *machine_warnings(config, device)]
    kept: Sequence[Image.Image] = ()
    if config.with_prior_preservation:
        kept = class_images or paint_class_images(
            networks,
            config,
            base,
            folder=prior_folder,
            on_image=on_class_image,
            deadline=deadline,
        )
    steps: list[Step] = []
    for step in train(networks, config, images, kept, deadline=deadline):
        steps.append(step)
        if on_step:
            on_step(step)
    trained_text = config.train_text_encoder
    return write_adapter(
        lora_tensors(networks, config),
        out,
        base=base,
        resolution=config.resolution,
        rank=config.lora_r,
        alpha=config.lora_alpha,
        text_encoder_rank=config.lora_text_encoder_r if trained_text else None,
        text_encoder_alpha=config.lora_text_encoder_alpha if trained_text else None,
        targets={
            "unet": list(base.registered.unet_targets),
            "text_encoder": list(base.registered.text_targets) if trained_text else [],
        },
        prompt=config.concept_prompt,
        token=identifier(config.concept_prompt, config.class_prompt),
        class_noun=class_noun(config.class_prompt),
        configuration=config.to_mapping(),
        seed=config.seed,
        versions={"python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
        metrics=_metrics(steps, len(images), len(kept)),
        warnings=warnings,
    )


def _metrics(steps: Sequence[Step], images: int, class_images: int) -> dict[str, Any]:
    """Losses averaged over the first and the last tenth: one step's alone says little.

    No times: the same training must give the same manifest.
    """
    tenth = max(len(steps) // 10, 1)
    first, last = steps[:tenth], steps[-tenth:]
    metrics: dict[str, Any] = {
        "images": images,
        "class_images": class_images,
        "instance_loss_first": round(fmean(step.instance_loss for step in first), 6),
        "instance_loss_last": round(fmean(step.instance_loss for step in last), 6),
    }
    if class_images:
        for name, part in (("first", first), ("last", last)):
            losses = [step.prior_loss for step in part if step.prior_loss is not None]
            metrics[f"prior_loss_{name}"] = round(fmean(losses), 6)
    return metrics
