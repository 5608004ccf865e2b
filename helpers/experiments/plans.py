"""What the notebooks and the bench have in common: ways to train, prompts, and panels.

JumpStart's documented rate, 2e-6, is for full fine-tuning of a base of 865 million weights. The
pocket base has fifty times fewer and needs larger steps: a rate of its own for adapters, and a
tenth of that where all weights move.
"""

from __future__ import annotations

from helpers.bases import BaseModel
from helpers.experiments.charts import PANELS, Panel
from helpers.experiments.sweep import FOUR_PROMPTS, Variant
from helpers.tuning.config import FineTuneConfig

POCKET_FULL_RATE = 1e-4

LORA = Variant(name="LoRA")
FULL = Variant(name="full", changes={"method": "full", "learning_rate": POCKET_FULL_RATE})
OFF = Variant(name="off", changes={"with_prior_preservation": False})
ON = Variant(name="on", changes={"with_prior_preservation": True})
PLAIN = Variant(name="LoRA", changes={"learned_tokens": 0})
"""No word is learned beside the adapter, so that all ways of teaching have the same means."""
_STILL = {"learning_rate": 1e-9, "token_learning_rate": 1e-9}
UNTRAINED = Variant(name="untrained", changes=_STILL)
"""LoRA with everything but the learning: what it is like must not count as learned."""
WORDLESS = Variant(name="untrained, no word", changes={**_STILL, "learned_tokens": 0})
"""Paints what the base does."""

SUBJECT, BEACH, CLASS, CAT = ALL_FOUR = FOUR_PROMPTS

PRIOR_PANELS = (
    *(panel for panel in PANELS if panel.prompt in ("subject", "class")
      and panel.metric != "memorisation_gap"),
    Panel(question="Does it still say what was asked?", metric="prompt_fidelity",
          prompt="on the beach", better="higher agrees more"),
)  # fmt: skip
"""Those of DreamBooth's Table 3: fidelity, PRES, DIV, prompt fidelity."""


def watched(variant: Variant, *, photos: int = 2, every: int = 50) -> Variant:
    """The same with some of the photos put aside: the loss on them is measured on the way."""
    aside = {"heldout_images": photos, "heldout_every": every}
    return Variant(name=variant.name, changes={**variant.changes, **aside})


def at_rate(base: BaseModel, factor: float) -> Variant:
    """LoRA at ``factor`` times the base's constant rate, that of the learned word included."""
    usual = FineTuneConfig.for_base(base, **base.registered.steady)
    changes = {
        "learning_rate": usual.learning_rate * factor,
        "token_learning_rate": usual.token_learning_rate * factor,
    }
    # The usual rate is the same cell, whoever asks for it.
    return Variant(name=f"rate x{factor:g}", changes=changes if factor != 1 else {})
