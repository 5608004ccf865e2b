"""Fine-tuning in one call: class images, training, result. Notebook and container share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import ConfigError
from helpers.tuning.adapter import Adapter, write_adapter
from helpers.tuning.checkpoint import Checkpoints
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import Step
from helpers.tuning.lora import lora_layers, lora_tensors
from helpers.tuning.session import trained
from helpers.tuning.shelf import BaseShelf
from helpers.tuning.subjects import Subject
from helpers.tuning.tuned_model import TunedModel, write_model
from helpers.tuning.words import words_of


def fine_tune(
    images: Sequence[Image.Image],
    config: FineTuneConfig,
    base: BaseModel,
    out: Path,
    *,
    class_images: Sequence[Image.Image] | None = None,
    others: Sequence[Subject] = (),
    prior_folder: Path | None = None,
    shelf: BaseShelf | None = None,
    checkpoints: Checkpoints | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_class_image: Callable[[int, int], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
    deadline: float | None = None,
) -> Adapter:
    """Teach ``base`` the subject of ``images`` and write the adapter to the folder ``out``.

    Class images are given, or painted; where ``config.prior_bank`` says so they are looked for in
    ``prior_folder`` first, and kept there. ``others`` are subjects that are learned together with
    the configuration's own. With ``config.keep_base`` the base is taken from ``shelf``, and left
    there. ``checkpoints`` let a job that was killed go on. ``on_stage`` hears what begins, once the
    base is there: ``priors``, ``train``, ``package``. ``deadline`` is a time of
    ``time.monotonic``. The adapter appears complete or not at all; ``helpers.tuning.adapter``'s
    ``load_adapter`` puts it on a pipeline.

    Raises ``ConfigError`` when the configuration is for another base or for full fine-tuning,
    ``BaseModelError`` when the base cannot be loaded, and ``TrainingError`` when no usable adapter
    comes out.
    """
    _require_method(config, "lora", "an adapter")
    with trained(
        images, config, base, class_images=class_images, others=others, prior_folder=prior_folder,
        shelf=shelf, checkpoints=checkpoints, on_step=on_step, on_class_image=on_class_image,
        on_stage=on_stage, deadline=deadline,
    ) as done:  # fmt: skip
        words = words_of(done.networks.text_encoder)
        text = config.train_text_encoder
        return write_adapter(
            lora_tensors(done.networks, config),
            out,
            base=base,
            embeddings=words.tensors() if words else None,
            resolution=config.resolution,
            rank=config.lora_r,
            alpha=config.lora_alpha,
            text_encoder_rank=config.lora_text_encoder_r if text else None,
            text_encoder_alpha=config.lora_text_encoder_alpha if text else None,
            targets=lora_layers(config),
            **done.facts,
        )


def fine_tune_model(
    images: Sequence[Image.Image], config: FineTuneConfig, base: BaseModel, out: Path, **how: Any
) -> TunedModel:
    """Train every weight of the U-Net, and write a whole model to the folder ``out``.

    This is what JumpStart's training job does: the text encoder is trained too if
    ``config.train_text_encoder``, and the result is a diffusers folder of the base's size. ``how``
    and the errors are those of ``fine_tune``, for a configuration whose ``method`` is ``full``.
    """
    _require_method(config, "full", "a whole model")
    with trained(images, config, base, **how) as done:
        return write_model(done.networks, config, out, base=base, facts=done.facts)


def _require_method(config: FineTuneConfig, method: str, makes: str) -> None:
    if config.method != method:
        raise ConfigError(
            f'method is "{config.method}"', f"What is made here is {makes}", f"Use {method}"
        )
