"""The judge: a small network that tells one drawn identity from another.

It stands in for DINO on pocket pictures: its embedding of two pictures is alike when they show
the same subject, whatever the setting, pose, light or clothes. Trained by contrast (InfoNCE) on
pairs of scenes that share nothing but the subject.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from helpers.errors import BaseModelError
from helpers.pocket.identity import CLOTHES, Person, draw_identity
from helpers.pocket.train_vae import cosine, to_tensor
from helpers.pocket.world import KINDS, draw_scene, render

SIDE = 64
WIDTH = 64
_SHARES = (0.25, 0.25, 0.45, 0.05)


class Judge(nn.Module):
    """Pictures (N, 3, 64, 64) in -1..1 to unit vectors (N, 64)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 128)
        blocks: list[nn.Module] = []
        for before, after in pairwise(widths):
            blocks += [
                nn.Conv2d(before, after, 3, stride=2, padding=1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
                nn.Conv2d(after, after, 3, padding=1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
            ]
        self.body = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Linear(widths[-1] * 3, 128), nn.SiLU(), nn.Linear(128, WIDTH))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Embed; the result has length one."""
        grid = self.body(pictures)
        pooled = [grid.mean((2, 3)), grid.amax((2, 3)), grid[..., :2, 1:3].mean((2, 3))]
        return F.normalize(self.head(torch.cat(pooled, 1)), dim=1)

    @torch.no_grad()
    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Unit vectors (N, 64) of PIL pictures of any size."""
        small = [np.asarray(p.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
                 for p in pictures]  # fmt: skip
        return self(to_tensor(np.stack(small)))

    def save(self, path: Path) -> None:
        """Write the weights in half precision."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {key: value.half().contiguous() for key, value in self.state_dict().items()}, path
        )

    @classmethod
    def load(cls, path: Path) -> Judge:
        """Read weights written by ``save``; raises ``BaseModelError`` where there are none."""
        if not path.exists():
            raise BaseModelError("the judge's weights are missing", f"{path.name} is not there",
                                 "restore models/pocket_judge from the repository")  # fmt: skip
        judge = cls()
        judge.load_state_dict({key: value.float() for key, value in load_file(path).items()})
        return judge.eval()


def _views(seed: int, count: int, index: int) -> np.ndarray:
    """``count`` pictures of one identity; a person changes clothes between them."""
    rng = np.random.default_rng([seed, index])
    subject = draw_identity(rng, str(rng.choice(KINDS, p=_SHARES)))
    pictures = []
    for _ in range(count):
        if isinstance(subject, Person):
            name = str(rng.choice(list(CLOTHES)))
            subject = replace(subject, clothes=name, clothes_colour=CLOTHES[name])
        style = "photo" if rng.random() < 0.9 else None
        pictures.append(
            np.asarray(render(draw_scene(rng, subject=subject, style=style), SIDE).image)
        )
    return np.stack(pictures)


def make_identities(path: Path, *, count: int, views: int, seed: int, workers: int) -> np.ndarray:
    """(count, views, 64, 64, 3) uint8, rendered once and kept at ``path``."""
    about = json.dumps({"count": count, "views": views, "seed": seed})
    if path.exists():
        with np.load(path) as stored:
            if str(stored["about"]) == about:
                return stored["pictures"]
    with ProcessPoolExecutor(workers) as pool:
        pictures = np.stack(
            list(pool.map(partial(_views, seed, views), range(count), chunksize=64))
        )
    temporary = path.with_name(path.name + ".partial.npz")
    np.savez_compressed(temporary, pictures=pictures, about=about)
    os.replace(temporary, path)
    return pictures


def _worn(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The wear that generated pictures show: softness, noise, a shift of colour and of place."""
    if rng.random() < 0.6:
        small = int(rng.integers(28, 60))
        pictures = F.interpolate(pictures, size=small, mode="bilinear", antialias=True)
        pictures = F.interpolate(pictures, size=SIDE, mode="bilinear")
    count = len(pictures)
    gain = torch.from_numpy(rng.normal(1, 0.05, (count, 3, 1, 1))).float()
    offset = torch.from_numpy(rng.normal(0, 0.04, (count, 1, 1, 1))).float()
    noise = torch.from_numpy(rng.normal(0, 0.03, tuple(pictures.shape)).astype(np.float32))
    shifted = torch.roll(pictures, (int(rng.integers(-4, 5)), int(rng.integers(-4, 5))), (2, 3))
    return (shifted * gain + offset + noise).clamp(-1, 1)


def train_judge(
    judge: Judge, pictures: np.ndarray, *, steps: int, batch: int = 64, rate: float = 2e-3,
    heat: float = 0.1, seed: int = 0,
) -> Iterator[tuple[int, float]]:  # fmt: skip
    """Yield ``(step, loss)``. ``pictures`` is (identities, views, 64, 64, 3) uint8."""
    optimizer = torch.optim.AdamW(judge.parameters(), lr=rate, weight_decay=1e-3)
    judge.train()
    target = torch.arange(batch)
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        rows = rng.choice(len(pictures), batch, replace=False)
        columns = np.stack([rng.choice(pictures.shape[1], 2, replace=False) for _ in rows])
        pair = [to_tensor(np.ascontiguousarray(pictures[rows, columns[:, i]])) for i in (0, 1)]
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, steps, rate)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            first, second = (judge(_worn(side, rng)).float() for side in pair)
        likeness = first @ second.T / heat
        loss = (F.cross_entropy(likeness, target) + F.cross_entropy(likeness.T, target)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield step + 1, loss.item()
    judge.eval()
