"""Learned words without a tokenizer for each avatar: spare places in one table, filled per batch.

``load_textual_inversion`` would add an avatar's words to the tokenizer and to the embedding, for
good. Here both get a few spare places once. An avatar's words are written into them when it paints,
and its prompts name the places; so a word means one thing for one avatar, another for the next, and
nothing to the base.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import torch

from helpers.errors import AdapterError
from helpers.hosting.avatars import Avatar

PLACES = 64
"""Rows of learned words that a batch may use together."""
MOST = 16
"""Rows of learned words of one avatar."""
_SPARE = [chr(0xE000 + place) for place in range(PLACES)]  # private use: no prompt means anything
_FORBIDDEN = {ord(letter): "\N{REPLACEMENT CHARACTER}" for letter in _SPARE}


class Words:
    """The spare places of ``pipe``, whose tokenizer and input embedding it exchanges for copies."""

    def __init__(self, pipe: Any) -> None:
        tokenizer = copy.deepcopy(pipe.tokenizer)
        first = len(tokenizer)
        tokenizer.add_tokens(_SPARE)
        old = pipe.text_encoder.get_input_embeddings().weight
        table = torch.nn.Embedding.from_pretrained(
            torch.cat([old.detach(), old.new_zeros(first + PLACES - len(old), old.shape[1])])
        )
        pipe.tokenizer = tokenizer
        pipe.text_encoder.set_input_embeddings(table)
        self._rows = table.weight.data[first:]
        self._places: dict[str, dict[str, list[str]]] = {}

    def check(self, avatar: Avatar) -> None:
        """Raise ``AdapterError`` unless the words of ``avatar`` fit, in number and in width."""
        rows = list(avatar.words.values())
        width = self._rows.shape[1]
        if sum(map(len, rows)) > MOST or any(each.shape[1] != width for each in rows):
            raise AdapterError(
                "The adapter does not fit this base",
                f"its learned words need more than {MOST} rows, or rows of another width",
                "Fine-tune again on this base",
            )

    def use(self, avatars: Sequence[Avatar | None]) -> None:
        """Write the words of ``avatars`` (``PLACES`` rows at most) into the places."""
        speaking = {one.identity: one for one in avatars if one and one.words}
        if set(speaking) <= set(self._places):
            return
        self._places, start = {}, 0
        for identity, avatar in speaking.items():
            self._places[identity] = {}
            for word, rows in avatar.words.items():
                end = start + len(rows)
                self._rows[start:end].copy_(rows)
                self._places[identity][word] = _SPARE[start:end]
                start = end

    def write(self, prompt: str, avatar: Avatar | None) -> str:
        """``prompt`` with the places of ``avatar``'s words in their stead, upper or lower case."""
        prompt = prompt.translate(_FORBIDDEN)
        for word, places in (self._places.get(avatar.identity, {}) if avatar else {}).items():
            prompt = re.sub(re.escape(word), " ".join(places), prompt, flags=re.IGNORECASE)
        return prompt

    def read(self, prompt: str, avatar: Avatar | None) -> str:
        """What ``write`` was given, as far as places tell; a place alone stands for its word."""
        for word, places in (self._places.get(avatar.identity, {}) if avatar else {}).items():
            prompt = prompt.replace(" ".join(places), word)
            for place in places:
                prompt = prompt.replace(place, word)
        return prompt
