"""What a job learns from: one subject or several, each with its photos and its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageOps

from helpers.errors import ConfigError, TrainingError
from helpers.tuning.checks import check_value
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.prompts import class_noun, identifier

CLOSEST = 0.88
"""Side of the closest crop, as a share of the whole: closer, and the subject would be cut."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One thing to learn: a person, a dog, or a style ("a picture in <<INK>> style").

    ``class_images`` show others of its class; they may come from the prior bank instead. Raises
    ``ConfigError`` for prompts that a configuration would refuse.
    """

    images: Sequence[Image.Image]
    concept_prompt: str
    class_prompt: str
    class_images: Sequence[Image.Image] = ()

    def __post_init__(self) -> None:
        for name in ("concept_prompt", "class_prompt"):
            check_value(name, "str", {}, getattr(self, name))

    @property
    def token(self) -> str:
        """The word that stands for it."""
        return identifier(self.concept_prompt, self.class_prompt)

    @property
    def class_noun(self) -> str:
        """What kind of thing it is."""
        return class_noun(self.class_prompt)


def all_subjects(
    config: FineTuneConfig,
    images: Sequence[Image.Image],
    class_images: Sequence[Image.Image],
    others: Sequence[Subject],
) -> list[Subject]:
    """The configuration's subject and the others that are trained with it.

    Raises ``TrainingError`` without pictures, and ``ConfigError`` when two subjects share an
    identifier.
    """
    first = Subject(
        images=images,
        concept_prompt=config.concept_prompt,
        class_prompt=config.class_prompt,
        class_images=class_images,
    )
    subjects = [first, *others]
    for subject in subjects:
        if not subject.images:
            raise TrainingError("There is nothing to learn from", "No instance image was given")
        if config.with_prior_preservation and not subject.class_images:
            raise TrainingError(
                "Prior preservation needs class images",
                "None were given",
                "Generate them, or set with_prior_preservation to false",
            )
    tokens = [subject.token.lower() for subject in subjects]
    if len(subjects) > 1 and ("" in tokens or len(set(tokens)) < len(tokens)):
        raise ConfigError(
            "Subjects that are trained together cannot be told apart",
            "Each needs an identifier of its own in its concept_prompt",
            "Name them <<ONE>> and <<TWO>>, say",
        )
    return subjects


def put_aside(config: FineTuneConfig, images: Sequence[Image.Image]) -> tuple[list, list]:
    """Photos to train on and photos to measure on; ``config.seed`` says which."""
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(images), generator=generator).tolist()
    aside = set(order[: config.heldout_of(len(images))])
    return (
        [image for place, image in enumerate(images) if place not in aside],
        [image for place, image in enumerate(images) if place in aside],
    )


def crops_of(images: Sequence[Image.Image], side: int, count: int, seed: int) -> list[Image.Image]:
    """``count`` squares of ``side`` pixels from each picture: the whole, then closer and closer.

    Latents that are encoded once would show each photo the same way in every step; a few crops
    give that variety back.
    """
    generator = torch.Generator().manual_seed(seed)
    cut = []
    for image in images:
        whole = min(image.size)
        square = ImageOps.fit(image, (whole, whole))
        for place in range(count):
            left, top = torch.rand(2, generator=generator).tolist()
            closer = (1 - CLOSEST) * place / max(count - 1, 1)
            size = round(whole * (1 - closer))
            x, y = round(left * (whole - size)), round(top * (whole - size))
            part = square.crop((x, y, x + size, y + size))
            cut.append(part.resize((side, side), Image.Resampling.LANCZOS))
    return cut
