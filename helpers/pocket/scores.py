"""How good the pocket base is, in numbers that need no outside model.

python -m helpers.pocket.scores models/pocket
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from helpers.pocket.dataset import scene_of
from helpers.pocket.places import PLACES
from helpers.pocket.train_vae import to_tensor
from helpers.pocket.world import draw_scene, render

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from helpers.experiments.similarity import Embedder

HELD_OUT = 999
"""Seed of scenes that no training drew."""
KINDS = ("dog", "cat", "person")


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, count: int = 48, side: int = 64) -> float:
    """Mean PSNR in dB of held-out drawings after the autoencoder: 10 log10(1 / MSE)."""
    scenes = [scene_of(HELD_OUT, index)[0] for index in range(count)]
    real = to_tensor(np.stack([np.asarray(render(scene, side).image) for scene in scenes]))
    made = vae.decode(vae.encode(real).latent_dist.mean).sample.clamp(-1, 1)  # type: ignore[union-attr]
    errors = ((made - real) / 2).pow(2).mean((1, 2, 3))
    return float((-10 * errors.log10()).mean())


def paint(pipe: Any, prompts: Sequence[str], seed: int, steps: int) -> list[Image.Image]:
    """One picture a prompt, guidance 4."""
    pipe.set_progress_bar_config(disable=True)
    noise = [torch.Generator().manual_seed(seed + place) for place in range(len(prompts))]
    return pipe(
        list(prompts), num_inference_steps=steps, guidance_scale=4.0, generator=noise
    ).images


class Nearest:
    """Names what a picture shows by its nearest drawings, in the eyes of the judge."""

    def __init__(self, judge: Embedder, each: int = 40) -> None:
        self._judge = judge
        rng = np.random.default_rng([HELD_OUT, 1])
        self._names = [kind for kind in KINDS for _ in range(each)]
        drawn = [render(draw_scene(rng, kind=kind, style="photo")).image for kind in self._names]
        self._known = judge.embed(drawn)

    def __call__(self, pictures: Sequence[Image.Image], neighbours: int = 7) -> list[str]:
        """The kind that most of the ``neighbours`` nearest drawings have, for each picture."""
        order = (self._judge.embed(pictures) @ self._known.T).topk(neighbours).indices.tolist()
        votes = [[self._names[place] for place in row] for row in order]
        return [max(KINDS, key=vote.count) for vote in votes]


def kinds_right(pipe: Any, judge: Embedder, each: int = 8, steps: int = 20) -> dict[str, float]:
    """Share of pictures of each kind, in all settings, that show that kind."""
    nearest, places = Nearest(judge), list(PLACES)
    shares = {}
    for number, kind in enumerate(KINDS):
        where = [places[i % len(places)] for i in range(each)]
        prompts = [f"a photo of a {kind} in the {place}" for place in where]
        named = nearest(paint(pipe, prompts, 1000 * number, steps))
        shares[kind] = sum(name == kind for name in named) / each
    return shares


def place_by_colour(picture: Image.Image) -> str:
    """Park, snow, beach or other: told by the colour of the lower corners, where the ground is."""
    pixels = np.asarray(picture.convert("RGB"), float) / 255
    side = len(pixels)
    low, edge = round(side * 0.78), round(side * 0.16)
    ground = np.concatenate([pixels[low:, :edge], pixels[low:, -edge:]], axis=1)
    red, green, blue = ground.reshape(-1, 3).mean(0)
    if green > red + 0.06 and green > blue + 0.1:
        return "park"
    if min(red, green, blue) > 0.72:
        return "snow"
    return "beach" if red > blue + 0.12 and green > 0.6 else "other"


def places_right(pipe: Any, each: int = 8, steps: int = 20) -> dict[str, float]:
    """Share of pictures of park, snow and beach whose ground has that setting's colour."""
    prompts = {"park": "in the park", "snow": "in the snow", "beach": "on the beach"}
    shares = {}
    for number, (place, words) in enumerate(prompts.items()):
        asked = [f"a photo of a {KINDS[i % 2]} {words}" for i in range(each)]
        painted = paint(pipe, asked, 5000 + 1000 * number, steps)
        shares[place] = sum(place_by_colour(picture) == place for picture in painted) / each
    return shares


def measure(folder: Path, each: int = 24) -> dict[str, Any]:
    """All scores of the base in ``folder``."""
    from diffusers import StableDiffusionPipeline

    from helpers.experiments.similarity import open_judge

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    return {
        "vae_psnr_db": round(reconstruction_psnr(pipe.vae), 2),
        "kinds_right": kinds_right(pipe, open_judge(), each),
        "places_right": places_right(pipe, each),
        "pictures_each": each,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=24)
    options = parser.parse_args()
    scores = measure(options.folder, options.each)
    (options.folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
