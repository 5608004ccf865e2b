"""Real pixels with a free licence: NASA's portrait of Eileen Collins, in labelled variants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Variant = tuple[str, tuple[int, int, int], float, float, bool]
INSTANCE: tuple[Variant, ...] = (
    ("whole head", (110, 0, 250), 0.0, 1.0, False),
    ("close", (146, 34, 160), 0.0, 1.0, False),
    ("mirrored", (110, 0, 250), 0.0, 1.0, True),
    ("darker", (120, 10, 226), 0.0, 0.72, False),
    ("brighter", (120, 10, 226), 0.0, 1.28, False),
    ("tilted left", (126, 14, 200), 7.0, 1.0, False),
    ("tilted right", (126, 14, 200), -7.0, 1.0, False),
    ("with the suit", (60, 0, 340), 0.0, 1.0, False),
    ("close, mirrored", (146, 34, 160), 0.0, 1.08, True),
    ("off centre", (80, 16, 236), 3.0, 0.95, False),
)
"""Label, square crop of the 512 px photograph (left, top, side), degrees, exposure, mirrored."""
HELDOUT: tuple[Variant, ...] = (
    ("held out: wide", (96, 0, 284), 0.0, 1.04, False),
    ("held out: close, tilted", (138, 24, 176), 4.0, 0.94, False),
    ("held out: mirrored, tilted", (118, 6, 214), -4.0, 1.0, True),
    ("held out: face alone", (160, 56, 130), 0.0, 1.0, False),
)
ABOUT = """NASA astronaut Eileen Collins, the official portrait (Great Images in NASA), as it ships
in `skimage.data.astronaut()`. Real pixels, so that the whole path is tried on a photograph and
not only on drawings. Licence: public domain (a work of NASA, no known copyright restrictions).

It is *one* photograph: the instance pictures are variants of it by crop, flip, exposure and
rotation, labelled below, and the held-out ones are other crops of the same photograph. So they
say whether fine-tuning works on real pixels, and nothing about new poses or light. NASA's portraits
must not be used to imply an endorsement.

| file | variant |
|---|---|
"""


def variant(photograph: Image.Image, what: Variant, side: int = 512) -> Image.Image:
    """One variant of the photograph, ``side`` pixels square."""
    _, (left, top, wide), degrees, exposure, mirrored = what
    turned = photograph
    if degrees:
        middle = (left + wide / 2, top + wide / 2)
        turned = photograph.rotate(degrees, Image.Resampling.BICUBIC, center=middle)
    crop = turned.crop((left, top, left + wide, top + wide))
    crop = ImageEnhance.Brightness(crop).enhance(exposure)
    if mirrored:
        crop = ImageOps.mirror(crop)
    return crop.resize((side, side), Image.Resampling.LANCZOS)


def portrait() -> Image.Image:
    """The photograph, 512 x 512 px."""
    from skimage import data

    return Image.fromarray(np.asarray(data.astronaut())).convert("RGB")


def write_astronaut(folder: Path) -> None:
    """Write all variants and the card into ``folder/astronaut``."""
    from helpers.pocket.world.subjects import save_all, write_card

    home, photograph = folder / "astronaut", portrait()
    rows = []
    for part, variants in (("instance", INSTANCE), ("heldout", HELDOUT)):
        save_all(home / part, "astronaut", [variant(photograph, v) for v in variants], 90)
        rows += [f"| `{part}/astronaut_{i:02}.jpg` | {v[0]} |" for i, v in enumerate(variants, 1)]
    prompts = {
        "instance_prompt": "a photo of a <<TOK>> person",
        "class_prompt": "a photo of a person",
    }
    write_card(home, prompts, ABOUT + "\n".join(rows))
