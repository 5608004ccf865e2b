"""Class images: what the base paints for the class prompt, so that training can keep it so.

They depend on the base, the prompt and a few numbers, never on the subject; one set serves every
job that shares those. A folder of such sets is the prior bank. Each lies in a file of its own,
named by all it depends on, which appears whole or not at all: jobs that run at the same time at
worst paint the same set twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.durable import write_whole
from helpers.tuning.networks import Networks
from helpers.tuning.painting import BATCH, paint_batch, painting_pipeline


def class_images(
    networks: Networks,
    config: FineTuneConfig,
    base: BaseModel,
    *,
    given: Sequence[Image.Image] = (),
    folder: Path | None = None,
    on_image: Callable[[int, int], None] | None = None,
    deadline: float | None = None,
) -> list[Image.Image]:
    """``config.num_class_images`` pictures of ``config.class_prompt``, painted by the bare base.

    The number is a minimum: pictures that are ``given`` count, all of them are kept, and only what
    is missing is painted. With ``folder``, a set that was painted before is used again.
    ``on_image`` hears how many of how many are there; ``deadline`` is a time of
    ``time.monotonic``. ``networks`` must carry no adapter yet. Raises ``TrainingError`` after the
    deadline.
    """
    if given:
        missing = config.num_class_images - len(given)
        if missing <= 0:
            return list(given)
        painted = class_images(
            networks, config.replace(num_class_images=missing), base,
            folder=folder, on_image=on_image, deadline=deadline,
        )  # fmt: skip
        return [*given, *painted]
    known = _identity(config, base)
    file = Path(folder) / set_name(config, base) if folder is not None else None
    if file is not None and (kept := _read(file, known)) is not None:
        return kept
    pictures = _paint(networks, config, base, on_image, deadline)
    if file is not None:
        _write(file, pictures, known)
    return pictures


def set_name(config: FineTuneConfig, base: BaseModel) -> str:
    """The name in the bank of the set that this job would use."""
    facts = json.dumps(_identity(config, base), sort_keys=True)
    return f"class-{hashlib.sha256(facts.encode()).hexdigest()[:32]}.safetensors"


def _identity(config: FineTuneConfig, base: BaseModel) -> dict[str, str]:
    """Everything that the pictures depend on."""
    return {
        "base_hash": base.hash,
        "prediction_type": base.prediction_type,
        "class_prompt": config.class_prompt,
        "count": str(config.num_class_images),
        "seed": str(config.seed),
        "resolution": str(config.resolution),
        "steps": str(config.class_image_steps),
        "guidance": str(base.registered.guidance),
    }


def _paint(
    networks: Networks,
    config: FineTuneConfig,
    base: BaseModel,
    on_image: Callable[[int, int], None] | None,
    deadline: float | None,
) -> list[Image.Image]:
    pipe = painting_pipeline(networks)
    total = config.num_class_images
    pictures: list[Image.Image] = []
    while len(pictures) < total:
        if deadline is not None and time.monotonic() > deadline:
            raise TrainingError(
                f"The training was stopped after {len(pictures)} of {total} class images",
                "Its time ran out",
                "Ask for fewer class images, or give the job more time",
            )
        places = range(len(pictures), min(len(pictures) + BATCH, total))
        pictures += paint_batch(
            pipe,
            config.class_prompt,
            [(config.seed << 20) + place for place in places],
            side=config.resolution,
            steps=config.class_image_steps,
            guidance=base.registered.guidance,
        )
        if on_image:
            on_image(len(pictures), total)
    return pictures


def _read(file: Path, known: dict[str, str]) -> list[Image.Image] | None:
    """The kept set, or ``None`` if there is none or it is not what its name says."""
    side, count = int(known["resolution"]), int(known["count"])
    try:
        with safe_open(file, "pt") as kept:
            if kept.metadata() != known:
                return None
            pixels = kept.get_tensor("pixels")
    except (OSError, SafetensorError):
        return None
    if pixels.dtype != torch.uint8 or pixels.shape != (count, side, side, 3):
        return None
    return [Image.fromarray(picture.numpy()) for picture in pixels]


def _write(file: Path, pictures: list[Image.Image], known: dict[str, str]) -> None:
    pixels = torch.stack(
        [
            torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(
                picture.height, picture.width, 3
            )
            for picture in pictures
        ]
    )
    write_whole(file, {"pixels": pixels}, known)
