"""Painting with a whole fine-tuned model in this process, without an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from helpers.hosting.generate import AvatarPainter
from helpers.hosting.request import GenerationRequest


def paint_with(
    folder: Path, prompts: Sequence[str], *, seed: int = 0, steps: int = 25
) -> list[Image.Image]:
    """One picture of each prompt by the model in ``folder``, all from the same noise.

    Raises ``BaseModelError`` for what is no model, ``GenerationError`` for a prompt or a number out
    of range.
    """
    painter = AvatarPainter(folder)
    asked = {"seed": seed, "num_inference_steps": steps}
    requests = [
        GenerationRequest.from_json(prompt, None, asked, limits=painter.limits)
        for prompt in prompts
    ]
    return [painter.paint(request) for request in requests]
