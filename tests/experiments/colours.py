"""Judges of plain colours: small enough to work out by hand what a metric must give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def plain(*names: str) -> list[Image.Image]:
    """Pictures of one colour each."""
    return [Image.new("RGB", (16, 16), COLOURS[name]) for name in names]


def noisy(colour: tuple[int, int, int], count: int, seed: int = 0) -> list[Image.Image]:
    """Different pictures around one colour."""
    rng = np.random.default_rng([seed, *colour])
    blocks = np.clip(np.array(colour) + rng.normal(0, 45, (count, 4, 4, 3)), 0, 255)
    return [Image.fromarray(one.astype(np.uint8)).resize((32, 32)) for one in blocks]


class ColourJudge:
    """Embeds a picture as its mean colour, and knows the names of three."""

    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        means = np.stack([np.asarray(one.convert("RGB"), float).mean((0, 1)) for one in pictures])
        return torch.nn.functional.normalize(torch.tensor(means + 1e-9), dim=1)

    def agree(self, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> torch.Tensor:
        words = [plain(*(word for word in prompt.split() if word in COLOURS)) for prompt in prompts]
        return self.embed(pictures) @ torch.cat([self.embed(each[:1]) for each in words]).T

    def read(self, pictures: Sequence[Image.Image]) -> dict[str, list[str]]:
        names = list(COLOURS)
        return {"colour": [names[k] for k in self.embed(pictures).argmax(1).tolist()]}

    def stages(self, pictures: Sequence[Image.Image]) -> list[torch.Tensor]:
        maps = np.stack([np.asarray(one.convert("RGB").resize((8, 8)), float) for one in pictures])
        grid = torch.tensor(maps + 1e-9).permute(0, 3, 1, 2)
        return [grid, torch.nn.functional.avg_pool2d(grid, 4)]


class Shuffled(ColourJudge):
    """The cheat: true answers, each given for some other picture."""

    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        found = super().embed(pictures)
        return found[torch.randperm(len(found), generator=torch.Generator().manual_seed(3))]

    def read(self, pictures: Sequence[Image.Image]) -> dict[str, list[str]]:
        order = np.random.default_rng(4).permutation(len(pictures))
        return {name: [values[k] for k in order] for name, values in super().read(pictures).items()}
