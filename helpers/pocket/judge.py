"""The judge: reads labels, knows subjects again, compares pictures with words.

One convolutional body and three outputs: a head for each of ``LABELS``; an identity vector, trained
by contrast against *other subjects of the same kind*; and a picture vector that meets the vector of
a caption, as CLIP's does. It stands in for DINO (identity) and CLIP (agreement) on pocket pictures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from helpers.errors import BaseModelError
from helpers.pocket.train_vae import to_tensor
from helpers.pocket.vocabulary import FILLERS
from helpers.pocket.world.captions import world_words
from helpers.pocket.world.labels import LABELS

SIDE = 64
WIDTHS = (3, 32, 64, 128, 192)
IDENTITY, AGREEMENT, TEXT, TOKENS = 96, 128, 128, 40


def vocabulary() -> list[str]:
    """The words that the text side knows, in a fixed order; 0 pads and 1 is any other word."""
    return ["", "?", *sorted({word.lower() for word in (*world_words(), *FILLERS)})]


class Judge(nn.Module):
    """Pictures (N, 3, 64, 64) in -1..1 to labels, identity and agreement."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in pairwise(WIDTHS):
            for wide, stride in ((before, 2), (after, 1)):
                blocks += [nn.Conv2d(wide, after, 3, stride=stride, padding=1),
                           nn.GroupNorm(16, after), nn.SiLU()]  # fmt: skip
        self.body = nn.Sequential(*blocks)
        wide = WIDTHS[-1] * 5 + WIDTHS[-2] + WIDTHS[-3]
        self.labels = nn.Linear(wide, sum(map(len, LABELS.values())))
        self.identity = nn.Sequential(nn.Linear(wide, 256), nn.SiLU(), nn.Linear(256, IDENTITY))
        self.agreement = nn.Sequential(nn.Linear(wide, 256), nn.SiLU(), nn.Linear(256, AGREEMENT))
        self._index = {word: place for place, word in enumerate(vocabulary())}
        self.words = nn.Embedding(len(self._index), TEXT, padding_idx=0)
        self.places = nn.Parameter(torch.randn(TOKENS, TEXT) * 0.02)
        layer = nn.TransformerEncoderLayer(TEXT, 4, TEXT * 3, 0.0, "gelu", batch_first=True)
        self.reader = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.said = nn.Linear(TEXT, AGREEMENT)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 1152): mean and maximum of the whole, the means of three bands, and the maxima on 8
        and 16 pixels, where a muzzle or an ear is still to be seen."""
        *_, fine, finer, grid = self._stages(pictures)
        bands = [
            part.mean((2, 3)) for part in (grid[:, :, :1], grid[:, :, 1:3, 1:3], grid[:, :, 3:])
        ]
        maxima = [stage.amax((2, 3)) for stage in (grid, finer, fine)]
        return torch.cat([grid.mean((2, 3)), *maxima, *bands], 1)

    def _stages(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        seen = []
        for block in self.body:
            pictures = block(pictures)
            seen.append(pictures)
        return seen[5::6]

    def split(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Scores of every label's values, (N, values) each."""
        parts = self.labels(features).split([len(values) for values in LABELS.values()], 1)
        return dict(zip(LABELS, parts, strict=True))

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """(N, TOKENS) numbers of words; what the world has no word for becomes 1."""
        rows = torch.zeros(len(prompts), TOKENS, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            words = prompt.lower().replace(",", " ").split()[:TOKENS]
            rows[row, : len(words)] = torch.tensor([self._index.get(word, 1) for word in words])
        return rows

    def read_words(self, rows: torch.Tensor) -> torch.Tensor:
        """Unit vectors (N, AGREEMENT) of tokenised captions."""
        blank = rows == 0
        blank[:, 0] = False
        known = self.reader(self.words(rows) + self.places, src_key_padding_mask=blank)
        share = (~blank)[..., None].float()
        return F.normalize(self.said((known * share).sum(1) / share.sum(1)), dim=1)

    # -- what the course uses ---------------------------------------------------------------

    @torch.no_grad()
    def see(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """``features`` of PIL pictures of any size."""
        return self.features(_prepare(pictures))

    @torch.no_grad()
    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Identity: unit vectors (N, 96) of PIL pictures of any size."""
        return F.normalize(self.identity(self.see(pictures)), dim=1)

    @torch.no_grad()
    def read(self, pictures: Sequence[Image.Image]) -> dict[str, list[str]]:
        """For each label, what the judge sees in each picture."""
        split = self.split(self.see(pictures))
        return {name: [LABELS[name][i] for i in scores.argmax(1).tolist()]
                for name, scores in split.items()}  # fmt: skip

    @torch.no_grad()
    def agree(self, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> torch.Tensor:
        """Cosines (N, M) of pictures and prompts, as CLIP-T has them."""
        seen = F.normalize(self.agreement(self.see(pictures)), dim=1)
        return seen @ self.read_words(self.tokens(prompts)).T

    @torch.no_grad()
    def stages(self, pictures: Sequence[Image.Image]) -> list[torch.Tensor]:
        """What the body sees of each picture on 32, 16, 8 and 4 pixels: (N, channels, side, side).

        For perceptual distances, as LPIPS takes them from a network that learned to name things.
        """
        return self._stages(_prepare(pictures))

    def save(self, path: Path) -> None:
        """Write the weights in half precision, with the labels and words they were trained for."""
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"labels": json.dumps(LABELS), "words": json.dumps(vocabulary())}
        weights = {key: value.half().contiguous() for key, value in self.state_dict().items()}
        save_file(weights, path, metadata=about)

    @classmethod
    def load(cls, path: Path) -> Judge:
        """Read weights written by ``save``.

        Raises ``BaseModelError`` where there are none, or where they know other labels or words.
        """
        from safetensors import safe_open

        if not path.exists():
            raise BaseModelError("the judge's weights are missing", f"{path.name} is not there",
                                 "restore models/pocket_judge from the repository")  # fmt: skip
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        wanted = {name: list(values) for name, values in LABELS.items()}
        if (json.loads(about.get("labels", "{}")) != wanted
                or json.loads(about.get("words", "[]")) != vocabulary()):  # fmt: skip
            raise BaseModelError("the judge was trained for another world",
                                 "its labels or words differ from helpers.pocket.world",
                                 "train it again: helpers.pocket.recipe")  # fmt: skip
        judge = cls()
        judge.load_state_dict({key: value.float() for key, value in load_file(path).items()})
        return judge.eval()


def _prepare(pictures: Sequence[Image.Image]) -> torch.Tensor:
    """PIL pictures of any size as (N, 3, SIDE, SIDE) in -1..1."""
    small = [np.asarray(p.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
             for p in pictures]  # fmt: skip
    return to_tensor(np.stack(small))
