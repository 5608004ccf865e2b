"""What a caller may ask of the real-time endpoint: the JSON of the 2023 publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from helpers.errors import GenerationError
from helpers.hosting.request import LARGEST_SEED, GenerationRequest, Limits, whole_number

MOST_PICTURES = 32
USUAL = {"num_inference_steps": 50, "guidance_scale": 7.5}
_ARGUMENTS = ("height", "width", "num_inference_steps", "guidance_scale", "seed")
_KEYS = ("prompt", "inputs", "negative_prompt", "num_images_per_prompt", *_ARGUMENTS)


@dataclass(frozen=True, kw_only=True)
class RealTimeRequest:
    """A request taken apart: one ``GenerationRequest`` for each picture, prompt by prompt.

    ``per_prompt`` pictures belong to each prompt; their seeds follow one another, the same ones
    for every prompt, so that prompts can be compared noise for noise.
    """

    pictures: tuple[GenerationRequest, ...]
    per_prompt: int

    @classmethod
    def from_json(cls, asked: object, *, limits: Limits) -> RealTimeRequest:
        """Check a request.

        ``prompt`` (or ``inputs``)   text, or a list of texts
        ``negative_prompt``          text, for every prompt
        ``num_images_per_prompt``    1; at most 32 pictures in all
        ``seed``                     of the first picture; drawn if missing
        ``height``, ``width``        pixels; the base's own side
        ``num_inference_steps``      50
        ``guidance_scale``           7.5; at 1 and below it is ignored, and the negative prompt too

        A key with ``null`` counts as left out. Raises ``GenerationError`` naming the argument and
        its range, never the caller's text.
        """
        if not isinstance(asked, Mapping):
            raise GenerationError(
                "The request is not a JSON object",
                "",
                'Send {"prompt": "a photo of a dog"} as application/json',
            )
        given = {key: value for key, value in asked.items() if value is not None}
        if not given.keys() <= set(_KEYS):
            raise GenerationError(
                "The request holds a key that is not known",
                f"known keys are {', '.join(_KEYS)}",
                "Remove it or correct its spelling",
            )
        prompts = _prompts(given)
        per_prompt = whole_number(
            "num_images_per_prompt",
            given.get("num_images_per_prompt", 1),
            range(1, MOST_PICTURES + 1),
        )
        if len(prompts) * per_prompt > MOST_PICTURES:
            raise GenerationError(
                f"The request asks for {len(prompts) * per_prompt} pictures",
                f"one call paints {MOST_PICTURES} at most",
                "Lower num_images_per_prompt, or send fewer prompts at a time",
            )
        arguments = USUAL | {key: given[key] for key in _ARGUMENTS if key in given}
        pictures: list[GenerationRequest] = []
        for prompt in prompts:
            first = GenerationRequest.from_json(
                prompt, given.get("negative_prompt"), arguments, limits=limits
            )
            arguments["seed"] = first.seed
            pictures += [
                replace(first, seed=(first.seed + more) % (LARGEST_SEED + 1))
                for more in range(per_prompt)
            ]
        return cls(pictures=tuple(pictures), per_prompt=per_prompt)


def _prompts(given: Mapping[str, Any]) -> list[Any]:
    named = [key for key in ("prompt", "inputs") if key in given]
    if len(named) != 1:
        raise GenerationError(
            "The request needs exactly one of prompt and inputs",
            "",
            "Say in prompt what the picture should show",
        )
    prompts = given[named[0]]
    if isinstance(prompts, str):
        return [prompts]
    if not isinstance(prompts, list) or not prompts:
        raise GenerationError(
            f"{named[0]} is neither text nor a list of texts", "", "Send one text, or several"
        )
    return prompts
