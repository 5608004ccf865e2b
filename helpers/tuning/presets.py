"""The two recipes of one trainer: the original of 2023, and what the course made of it.

``aws-2023`` is the defaults of ``FineTuneConfig``: rank 128 with alpha 1 on q and v, the text
encoder trained as well, every picture and prompt encoded again in every step, class images painted
for each job, the base loaded for each job and kept in single precision.

``course`` does a fraction of that work for a stronger adapter: everything frozen is computed once,
rank 16 with alpha 16 on q, k, v and out, and an identifier whose embedding is learned in place of
a trained text encoder. Under Adam an adapter learns at a speed of alpha times rate, whatever its
rank: 1e-4 in the original, 1.6e-3 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from helpers.bases import REGISTRY

AWS_2023 = "aws-2023"
COURSE = "course"
RECIPES = (AWS_2023, COURSE)
EVEN, AS_V = "even", "v"
WEIGHTINGS = (EVEN, AS_V)
"""What errors count, by their noise: ``helpers.tuning.weighting``."""

LEAST_STEPS = 200
"""Fewer steps than this teach no subject, however few its photos."""

_COURSE: Mapping[str, Any] = MappingProxyType(
    {
        "n_steps": 800,
        "steps_per_photo": 40,
        "concept_prompt": "a photo of a <<TOK>> person",
        "class_prompt": "a photo of a person",
        "lr_scheduler": "cosine",
        "lr_warmup": 0.05,
        "half_precision_base": True,
        "use_8bit_adam": False,
        "gradient_checkpointing": False,
        "train_text_encoder": False,
        "learned_tokens": 1,
        "cache_latents": True,
        "cache_text_embeddings": True,
        "crops": 4,
        "class_image_steps": 25,
        "prior_bank": True,
        "keep_base": True,
        "lora_targets": "q,k,v,out",
        "lora_r": 16,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "lora_text_encoder_r": 8,
        "lora_text_encoder_alpha": 8,
        "lora_text_encoder_dropout": 0.0,
        "heldout_images": 2,
        "heldout_every": 50,
        "patience": 3,
    }
)
_WHEN_TO_STOP = ("steps_per_photo", "heldout_images", "patience")


def recipe_values(recipe: Any, base_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe says of the keys that are not in ``given``, for a base of that id.

    Whoever gives ``n_steps`` has decided when to stop: the budget by photos, the photos put aside
    and the patience are then off, unless they are given too. An unknown recipe or base says
    nothing; the fields' own checks refuse it.
    """
    base = REGISTRY.get(base_id)
    values: dict[str, Any] = {"base_model": base_id, "recipe": recipe}
    if base:
        values["resolution"] = base.resolution
    if recipe == COURSE:
        values |= _COURSE
        values |= base.training if base else {}
        if "n_steps" in given:
            values |= dict.fromkeys(_WHEN_TO_STOP, 0)
        if given.get("method") == "full":
            # Full fine-tuning moves every weight at its own rate, and packs no adapter.
            values |= {"learned_tokens": 0, "half_precision_base": False, "learning_rate": 1e-5}
    return values


def step_budget(photos: int, steps_per_photo: int, n_steps: int) -> int:
    """Steps for a job of so many photos: ``steps_per_photo`` for each, at least ``LEAST_STEPS``.

    ``n_steps`` is the most; with ``steps_per_photo`` 0 it is the budget itself.
    """
    return min(n_steps, max(LEAST_STEPS, steps_per_photo * photos)) if steps_per_photo else n_steps
