"""Sheets of pictures to look at: what the world draws, and what a base paints of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

PROMPTS = (
    "a photo of a golden dog on the beach", "a photo of a black cat in the snow",
    "a photo of a smiling woman with long red hair in the park",
    "a photo of a man with a beard and glasses in the city",
    "a photo of an old man with grey hair, portrait", "a photo of a red chair in a room",
    "a photo of a blue car in the street at night", "a photo of a white boat on the beach",
    "a photo of a yellow bird in the forest", "a photo of a green cup in the studio",
    "a photo of a cat sitting on the chair", "a photo of a person with sunglasses looking left",
    "a pencil sketch of a dog in the park", "a watercolour painting of a cat in the forest",
    "a cartoon of a man with a moustache in the city", "a photo of a frowning person in a room",
)  # fmt: skip


def paint(pipe: Any, prompts: Sequence[str], seed: int, steps: int = 25) -> list[Image.Image]:
    """One picture a prompt, guidance 4; seeds run on from ``seed``."""
    pipe.set_progress_bar_config(disable=True)
    noise = [torch.Generator().manual_seed(seed + place) for place in range(len(prompts))]
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), 32):
        part = slice(start, start + 32)
        pictures += pipe(list(prompts[part]), num_inference_steps=steps, guidance_scale=4.0,
                         generator=noise[part]).images  # fmt: skip
    return pictures


def contact_sheet(pictures: Sequence[Image.Image], columns: int, side: int = 96) -> Image.Image:
    """Pictures in rows of ``columns``, each ``side`` pixels."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), (255, 255, 255))
    for place, picture in enumerate(pictures):
        small = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(small, (place % columns * side, place // columns * side))
    return sheet


def sample_sheet(base: Path, path: Path, each: int = 4, seed: int = 5, steps: int = 20) -> None:
    """Paint ``each`` pictures of every one of ``PROMPTS`` with the base in ``base``, in columns."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(base)
    pictures = paint(pipe, [prompt for _ in range(each) for prompt in PROMPTS], seed, steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(pictures, len(PROMPTS)).save(path)


def world_sheet(side: int = 104, seed: int = 7) -> Image.Image:
    """What the world draws: a row for each place, a column for each kind of thing.

    The last three rows are in the other styles, all above are photos.
    ``python -m helpers.pocket.sheets docs/images/world.png`` draws the one in the documentation.
    """
    from helpers.pocket.world.places import PLACES
    from helpers.pocket.world.scene import draw_scene, render
    from helpers.pocket.world.styles import STYLES
    from helpers.pocket.world.traits import KINDS

    photo, *others = STYLES
    styles = [photo] * (len(PLACES) - len(others)) + others
    pictures = []
    for row, (place, style) in enumerate(zip(PLACES, styles, strict=True)):
        for column, kind in enumerate(KINDS):
            rng = np.random.default_rng([seed, row, column])
            pictures.append(
                render(draw_scene(rng, kind=kind, place=place, style=style), side).image
            )
    return contact_sheet(pictures, len(KINDS), side)


if __name__ == "__main__":
    world_sheet().quantize(255).save(sys.argv[1], optimize=True)
