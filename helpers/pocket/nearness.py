"""How near a base's pictures are to what the world draws: what no label of the judge can say.

A smudge with ears is read as a cat. Whether it looks like the world's cats is asked of all that the
judge's body sees in many pictures at once, as KID asks it of Inception's (Bińkowski et al. 2018,
arXiv 1801.01401).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from helpers.pocket.judge import Judge
from helpers.pocket.sheets import paint
from helpers.pocket.world.captions import caption
from helpers.pocket.world.scene import draw_scene, render
from helpers.pocket.world.traits import KINDS

LIVING = ("dog", "cat", "person")
PAINTED, DRAWN = 64, 256
"""Pictures of each kind, and drawings that they are compared with."""


def drawings(kind: str, count: int, seed: int, side: int) -> tuple[list[Image.Image], list[str]]:
    """``count`` photo-like pictures of ``kind`` from the world, and a caption of each."""
    pictures, captions = [], []
    for number in range(count):
        rng = np.random.default_rng([seed, KINDS.index(kind), number])
        scene = draw_scene(rng, kind=kind, style="photo")
        pictures.append(render(scene, side).image)
        captions.append(caption(scene, rng))
    return pictures, captions


def kernel_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Unbiased squared maximum mean discrepancy of features (N, D) and (M, D), N and M above 1.

    The kernel is (x y / D + 1)^3, as in KID. 0 for two samples of one kind of thing, up to chance:
    it may come out below.
    """
    within = [_kernel(some, some) for some in (first, second)]
    means = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in within]
    return float(sum(means) - 2 * _kernel(first, second).mean())


def apart(judge: Judge, pictures: Sequence[Image.Image], drawn: Sequence[Image.Image]) -> float:
    """``kernel_distance`` of pictures and drawings, each feature in spreads of the drawings'."""
    seen, known = (judge.see(some).double() for some in (pictures, drawn))
    middle, spread = known.mean(0), known.std(0) + 1e-6
    return kernel_distance((seen - middle) / spread, (known - middle) / spread)


def nearness(pipe: Any, judge: Judge, seed: int, steps: int) -> dict[str, float]:
    """For each of ``LIVING``: how far pictures that were painted to the captions of drawings are
    from drawings of that kind; 0 is as near as other drawings are. ``seed`` is the drawings'."""
    side, found = pipe.vae.config.sample_size, {}
    for place, kind in enumerate(LIVING):
        drawn, captions = drawings(kind, DRAWN, seed, side)
        painted = paint(pipe, captions[:PAINTED], 500_000 + 1_000 * place, steps)
        found[kind] = round(apart(judge, painted, drawn), 3)
    return found


def _kernel(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3
