"""Does the picture show the subject? Subject fidelity, as DreamBooth measures it with DINO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.experiments.judges import JUDGE, Embedder, Pictures, cosines, open_judge

__all__ = [
    "JUDGE",
    "LEAST_GAIN",
    "SEEN",
    "Embedder",
    "PromptFidelity",
    "likeness",
    "open_judge",
    "prompts_that_rise",
    "subject_fidelity",
]


def likeness(judge: Embedder, pictures: Pictures, real: Pictures) -> np.ndarray:
    """Each picture's mean cosine (N,) with the real pictures of the subject, -1 to 1."""
    return cosines(judge, pictures, real).mean(1)


def subject_fidelity(judge: Embedder, generated: Pictures, real: Pictures) -> float:
    """Mean cosine between generated and real pictures, from -1 to 1; higher is more alike.

    The formula of DINO subject fidelity (DreamBooth, arXiv 2208.12242, section 4):
    mean over g in generated and r in real of e(g)·e(r), with e of unit length. ``real`` must be
    pictures that the adapter did *not* see, or copying would count as likeness. Raises
    ``ExperimentError`` where one side is empty.
    """
    return float(likeness(judge, generated, real).mean())


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


SEEN = 0.1
"""In DINO, DreamBooth's authors write, people see differences of 0.1 in subject fidelity."""
LEAST_GAIN = 0.3
"""A gain below this proves nothing: other seeds bring a tenth, and an adapter that learned nothing
but has a word of its own, which begins as the name of its class, brings up to 0.23."""


def prompts_that_rise(scores: Sequence[PromptFidelity], least: float = LEAST_GAIN) -> int:
    """Number of prompts in which the adapter brings the pictures nearer to the subject."""
    return sum(score.gain > least for score in scores)
