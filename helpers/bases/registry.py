"""The base models that a request may name: adding one is one entry."""

from __future__ import annotations

from dataclasses import dataclass

_SPARE_WORDS = frozenset(("tok", "<<", ">>", "zwx", "ohwx", "bnha"))


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A base that requests may name.

    ``text_width`` (of the text embeddings) and ``latent_side`` are how a folder is recognised;
    ``spare_words`` mean nothing to this base, so that they can name a subject; ``guidance`` is
    the scale at which it paints class images.
    """

    id: str
    text_width: int
    latent_side: int
    guidance: float
    spare_words: frozenset[str]


REGISTRY = {
    base.id: base
    for base in (
        Registered(
            id="pocket",
            text_width=128,
            latent_side=16,
            guidance=4.0,
            spare_words=_SPARE_WORDS | {"sks", "doppler", "riobugger", "xkq", "vlt", "qrn"},
        ),
        # "sks", the word of many tutorials, is a rifle to this one.
        Registered(
            id="stabilityai/stable-diffusion-2-1-base",
            text_width=1024,
            latent_side=64,
            guidance=7.5,
            spare_words=_SPARE_WORDS,
        ),
    )
}
"""Every base that a request may name. An id, never a path or an address: a request must not
choose what a container loads."""
