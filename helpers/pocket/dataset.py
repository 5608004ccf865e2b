"""Pictures and captions of the drawn world, rendered once and kept in one compressed file."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from helpers.pocket.captions import caption
from helpers.pocket.world import Scene, draw_scene, render

CAPTIONS = 4
"""Captions stored for each picture; training picks one at random."""


@dataclass(frozen=True)
class World:
    """``pictures`` (N, size, size, 3) uint8 and, for each, ``CAPTIONS`` captions."""

    pictures: np.ndarray
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.pictures)


def scene_of(seed: int, index: int) -> tuple[Scene, np.random.Generator]:
    """Scene number ``index`` of the world ``seed``, and the generator that words it."""
    rng = np.random.default_rng([seed, index])
    return draw_scene(rng), rng


def _one(seed: int, size: int, index: int) -> tuple[np.ndarray, list[str]]:
    scene, rng = scene_of(seed, index)
    picture = np.asarray(render(scene, size).image)
    return picture, [caption(scene, rng) for _ in range(CAPTIONS)]


def make_world(path: Path, *, count: int, size: int, seed: int, workers: int = 1) -> World:
    """Render ``count`` scenes, or read them back when ``path`` already holds the same ones."""
    about = {"count": count, "size": size, "seed": seed}
    if path.exists():
        with np.load(path) as stored:
            if json.loads(str(stored["about"])) == about:
                return World(stored["pictures"], json.loads(str(stored["captions"])))
    with ProcessPoolExecutor(workers) as pool:
        made = list(pool.map(partial(_one, seed, size), range(count), chunksize=256))
    world = World(np.stack([picture for picture, _ in made]), [words for _, words in made])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial.npz")
    np.savez_compressed(
        temporary,
        pictures=world.pictures,
        captions=json.dumps(world.captions),
        about=json.dumps(about),
    )
    os.replace(temporary, path)
    return world


def photographs(size: int) -> list[np.ndarray]:
    """A few free photographs that ship inside scikit-image, at about twice ``size`` and up.

    The autoencoder sees crops of them, so that real photos survive it. The astronaut is left out:
    she is kept to measure with.
    """
    from PIL import Image
    from skimage import data

    found = []
    for make in (data.chelsea, data.coffee, data.rocket):
        picture = Image.fromarray(make()).convert("RGB")
        for scale in (1.0, 0.5, 0.3):
            smaller = picture.resize(
                (max(size + 8, round(picture.width * scale)),
                 max(size + 8, round(picture.height * scale))), Image.Resampling.LANCZOS,
            )  # fmt: skip
            found.append(np.asarray(smaller))
    return found
