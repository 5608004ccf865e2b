"""What the demo does: whose photos, how many steps, which prompts and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from helpers.photos.load import load_folder
from helpers.photos.photo import Photo
from helpers.settings import ROOT

SUBJECT = ROOT / "data" / "subjects" / "wren"
PROMPTS = (
    "a photo of a <<TOK>> person",
    "a photo of a <<TOK>> person on the beach",
    "a photo of a <<TOK>> person in the snow",
    "a photo of a <<TOK>> person in the city",
    "a watercolour painting of a <<TOK>> person in the park",
)
SCORED = 4
"""Likeness is measured on the first four prompts, the photos; the painting is there to look at."""
INSTANCE_TYPE = "ml.g5.2xlarge"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the demo does. ``heldout`` photos measure; without them some of ``photos`` do."""

    photos: Path = SUBJECT / "instance"
    heldout: Path | None = SUBJECT / "heldout"
    out: Path
    n_steps: int = 400
    num_class_images: int = 32
    num_inference_steps: int = 25
    seeds: tuple[int, ...] = (2, 4, 6)


def choose_photos(plan: Plan) -> tuple[list[Photo], list[Photo]]:
    """Instance and held-out photos. Every fourth of a learner's own photos is held out.

    Of fewer than four photos none is held out.
    """
    photos = list(load_folder(plan.photos))
    if plan.heldout:
        return photos, list(load_folder(plan.heldout))
    if len(photos) < 4:
        return photos, []
    held = photos[3::4]
    return [photo for photo in photos if photo not in held], held
