"""Adapters in memory: taken off a training, put on a base, swapped, and worn together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from helpers.errors import ExperimentError
from helpers.hosting.generate import quiet
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.lora import lora_tensors
from helpers.tuning.mix import add
from helpers.tuning.networks import BUILDING, Networks
from helpers.tuning.painting import painting_pipeline
from helpers.tuning.words import words_of


@dataclass(frozen=True, kw_only=True)
class Worn:
    """An adapter in memory, as plain diffusers takes it: weights, and the words it learned."""

    tensors: dict[str, torch.Tensor]
    words: dict[str, torch.Tensor]

    @classmethod
    def off(cls, networks: Networks, config: FineTuneConfig) -> Worn:
        """What a training left on its networks."""
        learned = words_of(networks.text_encoder)
        return cls(
            tensors=lora_tensors(networks, config), words=learned.tensors() if learned else {}
        )

    @classmethod
    def combined(cls, worn: Sequence[Worn]) -> Worn:
        """All of them at full strength in one. Raises ``ExperimentError`` for one word twice."""
        words = [word for one in worn for word in one.words]
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ExperimentError(
                f"two adapters learned the same identifier {twice[0]}",
                "together only one of the two could be kept",
                "give each subject a token of its own",
            )
        return cls(
            tensors=add([one.tensors for one in worn], [1.0] * len(worn)),
            words={word: rows for one in worn for word, rows in one.words.items()},
        )

    @contextmanager
    def on(self, networks: Networks) -> Iterator[None]:
        """Put it on networks that carry none, and take it off again."""
        pipe = painting_pipeline(networks)
        with BUILDING, quiet():
            pipe.load_lora_weights(dict(self.tensors))
            for word, rows in self.words.items():
                pipe.load_textual_inversion({word: rows})
        try:
            yield
        finally:
            with BUILDING, quiet():
                pipe.unload_lora_weights()
                if self.words:
                    pipe.unload_textual_inversion()
