"""What the two prompts of a job say: who the subject is, and what kind of thing."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

_FRAME = frozenset(
    ("a", "an", "the", "of", "in", "on", "at", "with", "by", "my", "this", "photo", "photos",
     "photograph", "picture", "image", "portrait", "painting", "drawing", "sketch", "pencil",
     "close", "up", "closeup", "selfie")
)  # fmt: skip
"""Words that say how a picture is made, not of whom."""


def class_noun(class_prompt: str) -> str:
    """The kind of thing: the last word of the class prompt that is no frame ("person")."""
    words = [word for word in _words(class_prompt) if word not in _FRAME]
    return words[-1] if words else ""


def identifier(concept_prompt: str, class_prompt: str) -> str:
    """The word that stands for the subject, as written ("<<TOK>>"), or an empty text.

    It is the first word of the concept prompt that is neither in the class prompt nor a frame; a
    word in angle brackets comes first.
    """
    known = _FRAME | set(_words(class_prompt))
    candidates = [
        word
        for word in (raw.strip(".,;:!?\"'()") for raw in concept_prompt.split())
        if word and word.lower() not in known
    ]
    bracketed = [word for word in candidates if "<" in word]
    return (bracketed or candidates or [""])[0]


def known_words(text: str, tokenizer: Any, *, spare: Set[str]) -> list[str]:
    """The parts of ``text`` that the base has a meaning for already.

    A CLIP tokenizer gives a token of its own to words that were frequent in its training; a word
    that it must spell from pieces, and the words in ``spare``, mean nothing yet.
    """
    ids = tokenizer(text, add_special_tokens=False).input_ids
    known, pieces = [], 0
    for token in tokenizer.convert_ids_to_tokens(ids):
        pieces += 1
        if token.endswith("</w>"):
            word = token.removesuffix("</w>")
            if pieces == 1 and word not in spare and re.search(r"[^\W_]", word):
                known.append(word)
            pieces = 0
    return known


def prompt_warnings(
    concept_prompt: str, class_prompt: str, tokenizer: Any, *, spare: Set[str]
) -> list[str]:
    """Warnings about an identifier with a meaning and a missing class noun, in words."""
    said = []
    noun, name = class_noun(class_prompt), identifier(concept_prompt, class_prompt)
    if not name:
        said.append(
            f'concept_prompt "{concept_prompt}" has no identifier: the whole class will turn into '
            "the subject."
        )
    for word in known_words(name, tokenizer, spare=spare) if name else []:
        said.append(
            f'The identifier "{name}" is already a word that this base knows ("{word}"): the '
            "subject has to fight its meaning. Choose a rare word."
        )
    if noun and noun not in _words(concept_prompt):
        said.append(
            f'concept_prompt "{concept_prompt}" does not name the class ("{noun}"): with the '
            "class noun beside the identifier the subject is learned far better."
        )
    return said


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
