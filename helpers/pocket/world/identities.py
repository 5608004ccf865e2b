"""Several pictures of each of many subjects, for the judge: same subject, everything else new."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from helpers.pocket.world.dataset import VERSION
from helpers.pocket.world.scene import draw_scene, render
from helpers.pocket.world.traits import KINDS, draw_identity

SHARES = (0.18, 0.16, 0.38, 0.06, 0.07, 0.05, 0.05, 0.05)
CHUNK = 100


@dataclass(frozen=True)
class Identities:
    """``pictures`` (N, views, side, side, 3) uint8 and the kind of each subject, (N,)."""

    pictures: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)


def views(seed: int, index: int, count: int, side: int, reserved: bool) -> tuple[np.ndarray, int]:
    """``count`` pictures of subject number ``index``: other settings, poses, clothes, light."""
    rng = np.random.default_rng([VERSION, seed, index])
    kind = int(rng.choice(len(KINDS), p=SHARES))
    subject = draw_identity(rng, KINDS[kind], reserved=reserved)
    pictures = []
    for _ in range(count):
        style = "photo" if rng.random() < 0.85 else None
        shot = str(rng.choice(["close-up", "half"], p=(0.8, 0.2))) if kind == 2 else None
        scene = draw_scene(rng, subject=subject, style=style, shot=shot, seated=False)
        pictures.append(np.asarray(render(scene, side).image))
    return np.stack(pictures), kind


def _chunk(folder: Path, seed: int, count: int, side: int, reserved: bool, number: int) -> None:
    path = folder / f"{number:04}.npz"
    if path.exists():
        return
    made = [views(seed, number * CHUNK + i, count, side, reserved) for i in range(CHUNK)]
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, pictures=np.stack([p for p, _ in made]), kinds=[k for _, k in made])
    os.replace(temporary, path)


def make_identities(
    folder: Path, *, count: int, views: int, seed: int, side: int = 64, reserved: bool = False,
    workers: int = 1,
) -> Identities:  # fmt: skip
    """Render what ``folder`` lacks, in chunks that survive a kill, and read everything.

    ``reserved``: subjects from the corner that training never sees.
    """
    home = folder / f"identities_v{VERSION}_{side}px_{views}views_seed{seed}_{int(reserved)}"
    home.mkdir(parents=True, exist_ok=True)
    chunks, job = range(-(-count // CHUNK)), partial(_chunk, home, seed, views, side, reserved)
    if workers <= 1:
        for number in chunks:
            job(number)
    else:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(job, chunks))
    stored = [np.load(home / f"{number:04}.npz") for number in chunks]
    return Identities(np.concatenate([part["pictures"] for part in stored])[:count],
                      np.concatenate([part["kinds"] for part in stored])[:count])  # fmt: skip
