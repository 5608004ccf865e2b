"""Who judges pictures. The pocket world has a judge of its own; DINO, CLIP and others fit as well.

Every metric of this room takes one of these protocols, so the same function measures pocket
pictures with the pocket judge and photographs with DINOv2 or CLIP.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from helpers.errors import ExperimentError
from helpers.settings import ROOT

if TYPE_CHECKING:
    import torch

JUDGE = ROOT / "models" / "pocket_judge" / "judge.safetensors"
_UNIT_WITHIN = 0.01

Pictures = Sequence[Image.Image]


class Embedder(Protocol):
    """Turns pictures into unit vectors (N, width): the pocket judge here, DINO elsewhere."""

    def embed(self, pictures: Pictures) -> torch.Tensor:
        """Embed ``pictures``."""
        ...


class Matcher(Protocol):
    """Compares pictures with words: the pocket judge here, CLIP elsewhere."""

    def agree(self, pictures: Pictures, prompts: Sequence[str]) -> torch.Tensor:
        """Cosines (N, M), -1 to 1, of N pictures and M prompts."""
        ...


class Reader(Protocol):
    """Names what a picture shows: the pocket judge."""

    def read(self, pictures: Pictures) -> dict[str, list[str]]:
        """For each label ("kind", "place", ...), one value a picture."""
        ...


class Perceiver(Protocol):
    """Shows the inside of a network that looks: the pocket judge, or a backbone of LPIPS."""

    def stages(self, pictures: Pictures) -> list[torch.Tensor]:
        """Maps (N, channels, height, width) of several depths, fine ones first."""
        ...


class PocketJudge(Embedder, Matcher, Reader, Perceiver, Protocol):
    """All four in one."""


def open_judge(path: Path = JUDGE) -> PocketJudge:
    """The judge of the pocket world. Raises ``BaseModelError`` when its weights are missing."""
    from helpers.pocket.judge import Judge

    return Judge.load(path)


class Remembering:
    """A judge that looks at each picture once, until it is told to forget it.

    Pictures are known as objects: whoever opens a file again shows it another one.
    """

    def __init__(self, judge: PocketJudge) -> None:
        self._judge = judge
        self._seen: dict[tuple[int, str], tuple[Image.Image, Any]] = {}

    def embed(self, pictures: Pictures) -> torch.Tensor:
        """As the judge does."""
        return self._rows("", pictures, self._judge.embed)

    def agree(self, pictures: Pictures, prompts: Sequence[str]) -> torch.Tensor:
        """As the judge does."""
        import torch

        columns = [
            self._rows(one, pictures, lambda some, one=one: self._judge.agree(some, [one])[:, 0])
            for one in prompts
        ]
        return torch.stack(columns, 1)

    def read(self, pictures: Pictures) -> dict[str, list[str]]:
        """As the judge does, each time anew."""
        return self._judge.read(pictures)

    def stages(self, pictures: Pictures) -> list[torch.Tensor]:
        """As the judge does, each time anew."""
        return self._judge.stages(pictures)

    def forget(self, pictures: Pictures) -> None:
        """Let go of these pictures."""
        gone = {id(one) for one in pictures}
        self._seen = {key: kept for key, kept in self._seen.items() if key[0] not in gone}

    def _rows(self, what: str, pictures: Pictures, look: Any) -> torch.Tensor:
        import torch

        fresh = [one for one in pictures if (id(one), what) not in self._seen]
        if fresh:
            for one, row in zip(fresh, look(fresh), strict=True):
                self._seen[id(one), what] = (one, row)
        return torch.stack([self._seen[id(one), what][1] for one in pictures])


def require(pictures: Sequence[Any], what: str, least: int = 1) -> None:
    """Raise ``ExperimentError`` unless there are at least ``least`` pictures."""
    if len(pictures) < least:
        raise ExperimentError(
            f"there are too few {what} to measure",
            f"{least} or more are needed, {len(pictures)} were given",
            "paint or add some, and measure again",
        )


def vectors(judge: Embedder, pictures: Pictures, what: str = "pictures") -> np.ndarray:
    """Embeddings (N, width) as numbers to calculate with.

    Raises ``ExperimentError`` for no picture, and for vectors that are not of unit length: a
    product of two of them would be no cosine.
    """
    require(pictures, what)
    found = np.asarray(judge.embed(pictures).cpu(), np.float64)
    lengths = np.linalg.norm(found, axis=1)
    # Written so that NaN, which compares with nothing, fails.
    if not np.all(np.abs(lengths - 1) < _UNIT_WITHIN):
        raise ExperimentError(
            "the judge's vectors are not of unit length",
            "their products would be no cosines",
            "divide every embedding by its length",
        )
    return found


def cosines(judge: Embedder, pictures: Pictures, others: Pictures) -> np.ndarray:
    """Cosines (N, M) of pictures with others. Raises ``ExperimentError`` if one is empty."""
    return vectors(judge, pictures) @ vectors(judge, others, "pictures to compare with").T
