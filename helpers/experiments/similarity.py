"""Does the picture show the subject? Subject fidelity, as DreamBooth measures it with DINO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from helpers.settings import ROOT

if TYPE_CHECKING:
    import torch
    from PIL import Image

JUDGE = ROOT / "models" / "pocket_judge" / "judge.safetensors"


class Embedder(Protocol):
    """Turns pictures into unit vectors (N, width): the pocket judge here, DINO elsewhere."""

    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Embed ``pictures``."""
        ...


def open_judge(path: Path = JUDGE) -> Embedder:
    """The judge of the pocket world. Raises ``BaseModelError`` when its weights are missing."""
    from helpers.pocket.judge import Judge

    return Judge.load(path)


def subject_fidelity(
    judge: Embedder, generated: Sequence[Image.Image], real: Sequence[Image.Image]
) -> float:
    """Mean cosine between generated and real pictures, from -1 to 1; higher is more alike.

    The formula of DINO subject fidelity (DreamBooth, arXiv 2208.12242, section 4):
    mean over g in generated and r in real of e(g)·e(r), with e of unit length. ``real`` must be
    pictures that the adapter did *not* see, or copying would count as likeness.
    """
    return float((judge.embed(generated) @ judge.embed(real).T).mean())


@dataclass(frozen=True, kw_only=True)
class PromptFidelity:
    """Subject fidelity of one prompt, same seeds with and without the adapter."""

    prompt: str
    with_adapter: float
    without_adapter: float

    @property
    def gain(self) -> float:
        """How much the adapter adds."""
        return self.with_adapter - self.without_adapter


LEAST_GAIN = 0.02
"""A gain below this is noise: the judge moves as much between two seeds of one prompt."""


def prompts_that_rise(scores: Sequence[PromptFidelity], least: float = LEAST_GAIN) -> int:
    """Number of prompts in which the adapter brings the pictures nearer to the subject."""
    return sum(score.gain > least for score in scores)
