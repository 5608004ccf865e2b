"""Identifiers whose embedding is learned: a word of its own for each subject.

The text encoder stays as it is; a few rows beside its table of embeddings are all that moves. A
loader is plain diffusers' ``load_textual_inversion``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch


class LearnedWords(torch.nn.Module):
    """A text encoder's embeddings with rows for new words, which stand in for its own.

    ``nouns`` maps each new word to the noun of its class, whose embedding it starts from; ``count``
    rows are learned for each. ``rows`` has shape ``(words * count, width)``, in single precision.
    """

    def __init__(
        self, text_encoder: Any, tokenizer: Any, nouns: Mapping[str, str], count: int, seed: int
    ) -> None:
        super().__init__()
        self.table = text_encoder.get_input_embeddings()
        self.words = {word: _row_names(word, count) for word in nouns}
        self.first = len(tokenizer)
        self.tokenizer = copy.deepcopy(tokenizer)
        self.tokenizer.add_tokens([name for names in self.words.values() for name in names])
        generator = torch.Generator().manual_seed(seed)
        starts = []
        for noun in nouns.values():
            ids = tokenizer(noun or "photo", add_special_tokens=False).input_ids
            start = self.table.weight[ids].detach().float().mean(dim=0).cpu()
            # Rows that start alike would stay alike.
            noise = torch.randn(count, len(start), generator=generator) * start.std() * 0.1
            starts.append(start + noise)
        self.rows = torch.nn.Parameter(torch.cat(starts).to(self.table.weight.device))

    @property
    def weight(self) -> torch.Tensor:
        """The table of the text encoder's own words."""
        return self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings, shape ``(*ids.shape, width)``."""
        new = ids >= self.first
        known = self.table(ids.masked_fill(new, 0))
        learned = torch.nn.functional.embedding((ids - self.first).clamp(min=0), self.rows)
        return torch.where(new[..., None], learned.to(known.dtype), known)

    def spelled(self, prompt: str) -> str:
        """The prompt as a pipeline spells it out: a word of several rows is written as all."""
        for word, names in self.words.items():
            prompt = prompt.replace(word, " ".join(names))
        return prompt

    def tensors(self) -> dict[str, torch.Tensor]:
        """What ``load_textual_inversion`` reads: each word's rows, shape ``(count, width)``."""
        parts = self.rows.detach().cpu().chunk(len(self.words))
        return {word: part.contiguous() for word, part in zip(self.words, parts, strict=True)}


def learnable(word: str, tokenizer: Any) -> bool:
    """Whether plain diffusers can give ``word`` rows of its own: not if it is a piece of others."""
    return bool(word) and word not in tokenizer.get_vocab()


def rows_for(word: str, count: int) -> int:
    """How many rows a word can have: a pipeline spells out several for lower-case words alone."""
    return count if word == word.lower() else min(count, 1)


def words_of(text_encoder: Any) -> LearnedWords | None:
    """The learned words that this text encoder carries, if any."""
    table = text_encoder.get_input_embeddings()
    return table if isinstance(table, LearnedWords) else None


def forget_words(text_encoder: Any) -> None:
    """Give the text encoder its own table back."""
    if words := words_of(text_encoder):
        text_encoder.set_input_embeddings(words.table)


def _row_names(word: str, count: int) -> list[str]:
    return [word, *(f"{word}_{place}" for place in range(1, count))]
