"""Pictures, captions and labels of the world, rendered in chunks that survive a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from helpers.pocket.world.captions import caption
from helpers.pocket.world.labels import LABELS, label
from helpers.pocket.world.scene import Scene, draw_scene, render
from helpers.pocket.world.traits import KINDS

CAPTIONS = 4
"""Captions stored for each picture; training picks one at random."""
CHUNK = 500
VERSION = 3
"""Raised with every change of the renderer that changes pixels: old chunks are then left alone."""


@dataclass(frozen=True)
class World:
    """``pictures`` (N, size, size, 3) uint8, ``CAPTIONS`` captions each, and what is true of them:
    ``labels`` (N, len(LABELS)) int8, -1 where a label does not apply."""

    pictures: np.ndarray
    captions: list[list[str]]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def kinds(self) -> list[str]:
        """What each picture shows, one of ``KINDS``."""
        return [KINDS[number] for number in self.labels[:, list(LABELS).index("kind")]]

    def chances(self, often: Mapping[str, float]) -> np.ndarray:
        """(N,) summing to 1: how often training draws each picture, where a kind that is not in
        ``often`` is drawn once."""
        shares = np.array([often.get(kind, 1.0) for kind in self.kinds])
        return shares / shares.sum()

    def first(self, count: int) -> World:
        """The first ``count`` pictures, or all there are."""
        return World(self.pictures[:count], self.captions[:count], self.labels[:count])


def scene_of(seed: int, index: int) -> tuple[Scene, np.random.Generator]:
    """Scene number ``index`` of the world ``seed``, and the generator that words it."""
    rng = np.random.default_rng([VERSION, seed, index])
    return draw_scene(rng), rng


def _chunk(folder: Path, size: int, seed: int, number: int, count: int) -> int:
    path = folder / f"chunk_{number:04}.npz"
    if path.exists():
        return number
    pictures = np.empty((count, size, size, 3), np.uint8)
    labels = np.empty((count, len(LABELS)), np.int8)
    captions = []
    for place in range(count):
        scene, rng = scene_of(seed, number * CHUNK + place)
        pictures[place] = np.asarray(render(scene, size).image)
        labels[place] = label(scene)
        captions.append([caption(scene, rng) for _ in range(CAPTIONS)])
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, pictures=pictures, labels=labels, captions=json.dumps(captions))
    os.replace(temporary, path)
    return number


def render_chunks(
    folder: Path, *, count: int, size: int, seed: int, workers: int = 1
) -> Iterator[tuple[int, int]]:
    """Render the chunks that ``folder`` lacks; yield (chunks done, chunks in all) after each."""
    home = folder / f"world_v{VERSION}_{size}px_seed{seed}"
    home.mkdir(parents=True, exist_ok=True)
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    jobs = partial(_chunk, home, size, seed)
    if workers <= 1:
        for number, many in enumerate(sizes):
            jobs(number, many)
            yield number + 1, len(sizes)
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(jobs, number, many) for number, many in enumerate(sizes)]
        for done, job in enumerate(as_completed(waiting), 1):
            job.result()
            yield done, len(sizes)


def read_chunks(folder: Path, *, count: int, size: int, seed: int) -> World:
    """The first ``count`` pictures from ``folder``; they must have been rendered."""
    home = folder / f"world_v{VERSION}_{size}px_seed{seed}"
    pictures, labels, captions = [], [], []
    for number in range(-(-count // CHUNK)):
        with np.load(home / f"chunk_{number:04}.npz") as stored:
            pictures.append(stored["pictures"])
            labels.append(stored["labels"])
            captions += json.loads(str(stored["captions"]))
    return World(np.concatenate(pictures), captions, np.concatenate(labels)).first(count)


def make_world(folder: Path, *, count: int, size: int, seed: int, workers: int = 1) -> World:
    """Render what is missing and read everything."""
    for _ in render_chunks(folder, count=count, size=size, seed=seed, workers=workers):
        pass
    return read_chunks(folder, count=count, size=size, seed=seed)
