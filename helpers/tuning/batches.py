"""What a step is made of: which pictures, which embeddings, which random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from helpers.tuning.config import FineTuneConfig
from helpers.tuning.networks import Networks, token_ids


class PromptEmbedder:
    """The prompts of a batch as embeddings: the subject's first, then its class's.

    A frozen text encoder says the same each time, so it is asked once.
    """

    def __init__(self, networks: Networks, config: FineTuneConfig) -> None:
        prompts = [config.concept_prompt]
        if config.with_prior_preservation:
            prompts.append(config.class_prompt)
        self._encoder = networks.text_encoder
        self._ids = torch.cat([token_ids(networks, prompt) for prompt in prompts])
        self._kept = None
        if not config.train_text_encoder:
            with torch.no_grad():
                self._kept = self._encoder(self._ids)[0]

    def __call__(self, count: int) -> torch.Tensor:
        """``count`` times each prompt: shape ``(prompts * count, window, width)``."""
        each = self._encoder(self._ids)[0] if self._kept is None else self._kept
        return each.repeat_interleave(count, dim=0)


def pick(count: int, batch: int, draw: int, seed: int) -> torch.Tensor:
    """Which pictures batch ``draw`` holds: one shuffled pass through all of them after another."""
    places = (divmod(place, count) for place in range(draw * batch, (draw + 1) * batch))
    return torch.tensor([_shuffled(count, seed, turn)[place] for turn, place in places])


@lru_cache(maxsize=16)
def _shuffled(count: int, seed: int, turn: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed((seed << 24) + turn)
    return tuple(torch.randperm(count, generator=generator).tolist())


@contextmanager
def dropout_from(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global numbers: seed them, and give the caller's back."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
