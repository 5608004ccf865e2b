"""What a caller may ask of the painter.

Everything here arrives from outside, and everything that is refused leaves Triton as an error
text. Triton answers 507 ("evict something and retry") when such a text contains ``OOM`` or
``out of memory``, so no message below repeats a single word of the caller.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from helpers.errors import GenerationError
from helpers.strict_json import parse

if TYPE_CHECKING:
    from helpers.bases import BaseModel

LONGEST_PROMPT = 8_000
SCHEDULERS = ("base", "ddim", "pndm", "euler", "dpm++", "unipc")
"""Ways to walk from noise to picture; ``base`` is the one that the base model names."""
FORMATS = ("png", "webp", "jpeg")
LARGEST_SEED = 2**63 - 1
MOST_PICTURES = 8
"""Pictures of one call; how many of a size and so many steps, the measured speed decides."""
OUT_OF_MEMORY_WORDS = (
    "CUDA out of memory", "CUDA_OUT_OF_MEMORY", "Out of memory", "Out Of Memory",
    "out of memory", "MemoryError", "OutOfMemory", "OOM", "Dst tensor is not initialized",
    "Src tensor is not initialized", "CNMEM_STATUS_OUT_OF_MEMORY",
    "CUDNN_STATUS_NOT_INITIALIZED", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED", "Failed to allocate memory", "failed to allocate memory",
    "No space left on device",
)  # fmt: skip
"""Triton turns an error that contains one of these into a 507, and SageMaker then unloads
models and tries again: right for a model that fills the device, wrong for everything else."""

_NEXT = "Read the list of generation arguments in the hosting notebook"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one base can paint.

    ``side``          native width and height, pixels
    ``longest_side``  largest width or height accepted, pixels
    ``guidance``      the guidance scale it is used with unless a request names one
    """

    side: int
    longest_side: int
    guidance: float = 4.0

    @classmethod
    def of(cls, base: BaseModel) -> Limits:
        """Up to twice the native side: beyond that a base repeats its subject."""
        return cls(
            side=base.resolution,
            longest_side=2 * base.resolution,
            guidance=base.registered.guidance,
        )


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One picture, fully specified.

    ``num_inference_steps``  1 to 100
    ``guidance_scale``       0 to 30; up to 1 switches the negative prompt off
    ``seed``                 0 to 2**63 - 1; the same seed gives the same picture
    ``width``, ``height``    pixels, multiples of 8 from 64 to the base's limit
    ``adapter_scale``        0 to 2: how much of the adapter is added; 0 paints as the base does
    ``scheduler``            one of ``SCHEDULERS``
    ``format``               of the file: ``png`` and ``webp`` keep every pixel, ``jpeg`` is small
    ``label``                whether "AI generated" is to be seen in the picture itself
    """

    prompt: str
    seed: int
    width: int
    height: int
    guidance_scale: float
    adapter_scale: float = 1.0
    negative_prompt: str = ""
    num_inference_steps: int = 25
    scheduler: str = "base"
    format: str = "png"
    label: bool = False

    @classmethod
    def from_json(
        cls,
        prompt: str,
        negative_prompt: str | None = None,
        gen_args: str | Mapping[str, Any] | None = None,
        *,
        limits: Limits,
    ) -> GenerationRequest:
        """Check the three inputs of the endpoint; ``gen_args`` is a JSON object or absent.

        A missing seed is drawn here, so that the answer can say which one was used. Raises
        ``GenerationError`` naming the argument and its range, never the caller's text.
        """
        usual = {"width": limits.side, "height": limits.side, "guidance_scale": limits.guidance}
        arguments = {**usual, **_arguments(gen_args)}
        side = range(64, limits.longest_side + 1, 8)
        checked: dict[str, Any] = {}
        for name, value in arguments.items():
            if name == "num_inference_steps":
                checked[name] = whole_number(name, value, range(1, 101))
            elif name == "guidance_scale":
                checked[name] = _number(name, value, 0, 30)
            elif name == "adapter_scale":
                checked[name] = _number(name, value, 0, 2)
            elif name == "seed":
                checked[name] = whole_number(name, value, range(LARGEST_SEED + 1))
            elif name in ("width", "height"):
                checked[name] = whole_number(name, value, side)
            elif name == "scheduler":
                checked[name] = _one_of(name, value, SCHEDULERS)
            elif name == "format":
                checked[name] = _one_of(name, value, FORMATS)
            elif name == "label":
                checked[name] = _yes_or_no(name, value)
            else:
                raise GenerationError(
                    "gen_args holds a key that is not known",
                    "known keys are adapter_scale, format, guidance_scale, height, label,"
                    " num_images_per_prompt, num_inference_steps, scheduler, seed, width",
                    "Remove it or correct its spelling",
                )
        checked.setdefault("seed", secrets.randbelow(2**31))
        return cls(
            prompt=_text("prompt", prompt, empty=False),
            negative_prompt=_text("negative_prompt", negative_prompt or "", empty=True),
            **checked,
        )


def several_from_json(
    prompt: str,
    negative_prompt: str | None = None,
    gen_args: str | Mapping[str, Any] | None = None,
    *,
    limits: Limits,
) -> list[GenerationRequest]:
    """The pictures of one call: ``num_images_per_prompt`` (1, at most ``MOST_PICTURES``) of them,
    whose seeds follow one another. Raises ``GenerationError`` as ``from_json`` does."""
    arguments = dict(_arguments(gen_args))
    count = whole_number(
        "num_images_per_prompt",
        arguments.pop("num_images_per_prompt", 1),
        range(1, MOST_PICTURES + 1),
    )
    first = GenerationRequest.from_json(prompt, negative_prompt, arguments, limits=limits)
    return [replace(first, seed=(first.seed + more) % (LARGEST_SEED + 1)) for more in range(count)]


def _arguments(given: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if given is None or given == "":
        return {}
    if isinstance(given, str):
        try:
            given = parse(given, finite=False)
        except ValueError:
            why = "or it is nested too deeply, or names a key twice"
            raise GenerationError("gen_args is not JSON", why, _NEXT) from None
    if not isinstance(given, Mapping):
        raise GenerationError("gen_args is not a JSON object", "", _NEXT)
    return given


def whole_number(name: str, value: object, allowed: range) -> int:
    """``value`` as one of ``allowed``. Raises ``GenerationError`` naming the argument."""
    # JSON has one kind of number: 50.0 means 50, and true means nothing here.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        step = "" if allowed.step == 1 else f" in steps of {allowed.step}"
        raise GenerationError(
            f"{name} cannot be used",
            f"it is a whole number from {allowed[0]} to {allowed[-1]}{step}",
            "Correct it and ask again",
        )
    return value


def _number(name: str, value: object, low: float, high: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not low <= value <= high:  # type: ignore[operator]  (NaN fails this too)
        raise GenerationError(
            f"{name} cannot be used",
            f"it is a number from {low} to {high}",
            "Correct it and ask again",
        )
    return float(value)  # type: ignore[arg-type]


def _one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise GenerationError(
            f"{name} cannot be used", f"it is one of {', '.join(known)}", "Correct it and ask again"
        )
    return str(value)


def _yes_or_no(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise GenerationError(
            f"{name} cannot be used", "it is true or false", "Correct it and ask again"
        )
    return value


def _text(name: str, value: object, *, empty: bool) -> str:
    if not isinstance(value, str):
        raise GenerationError(f"{name} is not text", "", "Send it as a string")
    if any("\ud800" <= one <= "\udfff" for one in value):
        raise GenerationError(
            f"{name} holds half of a character", "it cannot be written as UTF-8", "Send whole text"
        )
    if not empty and not value.strip():
        raise GenerationError(f"{name} is empty", "", "Say what the picture should show")
    if len(value) > LONGEST_PROMPT:
        raise GenerationError(
            f"{name} is too long", f"the limit is {LONGEST_PROMPT} characters", "Shorten it"
        )
    return value
