"""What a fine-tuning request may ask for: the keys of the original call, checked one by one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from helpers.bases import REGISTRY, BaseModel
from helpers.bases.registry import ORIGINAL, UNSUPPORTED
from helpers.errors import ConfigError
from helpers.tuning.prompts import prompt_warnings

_NO_BIASES = "An adapter for plain diffusers holds no biases"


def _number(default: Any, least: float, most: float, *, open: str = "") -> Any:
    """A field with a range. ``open`` is "[" or "]" for an end that does not belong to it."""
    return field(default=default, metadata={"least": least, "most": most, "open": open})


def _choice(default: str, choices: Collection[str], why: str) -> Any:
    return field(default=default, metadata={"choices": choices, "why": why})


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """One fine-tuning job. Names and defaults are those of the original ``Trainer.run``.

    ``for_base`` gives settings that suit a base; ``from_mapping`` reads a request. Any value of a
    wrong type or outside its range raises ``ConfigError`` that names the key.

    ``resolution``                side of the training pictures in pixels, a multiple of 8
    ``n_steps``                   optimizer steps; each sees ``gradient_accumulation`` batches of
                                  ``batch_size`` instance images (and as many class images)
    ``concept_prompt``            names the subject: an identifier and its class noun
    ``lr_scheduler``              ``constant`` or ``cosine`` (falls to a tenth of the rate)
    ``fp16``                      half precision, on an accelerator only
    ``use_8bit_adam``             bitsandbytes' optimizer, on an accelerator that has it only
    ``with_prior_preservation``   keep the class as it was: adds ``prior_loss_weight`` times the
                                  loss on ``num_class_images`` pictures of ``class_prompt``
    ``class_data_dir``            accepted because the original has it; never used as a path
    ``lora_r``, ``lora_alpha``    rank of the U-Net's adapter, and its strength ``alpha / r``
    ``lora_bias``                 ``none``: the adapter's format has no place for biases
    ``lora_text_encoder_*``       the same for the text encoder, if ``train_text_encoder``
    ``face_preprocessing``        crop to the largest face instead of the centre
    """

    base_model: str = _choice(
        ORIGINAL, REGISTRY, "A base is named by its registry id, never by a path or URL"
    )
    resolution: int = _number(512, 32, 1024)
    n_steps: int = _number(1000, 1, 20_000)
    concept_prompt: str = "photo of <<TOK>>"
    learning_rate: float = _number(1e-4, 0, 1, open="[")
    lr_scheduler: str = _choice("constant", ("constant", "cosine"), "The rate stays or falls")
    batch_size: int = _number(1, 1, 64)
    gradient_accumulation: int = _number(1, 1, 64)
    fp16: bool = True
    use_8bit_adam: bool = True
    gradient_checkpointing: bool = True
    train_text_encoder: bool = True
    with_prior_preservation: bool = True
    prior_loss_weight: float = _number(1.0, 0, 100)
    class_prompt: str = "a photo of person"
    num_class_images: int = _number(50, 1, 1000)
    class_data_dir: str = field(default="", metadata={"may_be_empty": True})
    lora_r: int = _number(128, 1, 256)
    lora_alpha: float = _number(1, 0, 1024, open="[")
    lora_bias: str = _choice("none", ("none",), _NO_BIASES)
    lora_dropout: float = _number(0.05, 0, 1, open="]")
    lora_text_encoder_r: int = _number(64, 1, 256)
    lora_text_encoder_alpha: float = _number(1, 0, 1024, open="[")
    lora_text_encoder_bias: str = _choice("none", ("none",), _NO_BIASES)
    lora_text_encoder_dropout: float = _number(0.05, 0, 1, open="]")
    face_preprocessing: bool = False
    seed: int = _number(0, 0, 2**32 - 1)

    def __post_init__(self) -> None:
        for one in fields(self):
            _check(one.name, str(one.type), one.metadata, getattr(self, one.name))
        if self.resolution % 8:
            raise ConfigError(
                f"resolution is {self.resolution}",
                "The autoencoder works on blocks of pixels",
                f"Use a multiple of 8, such as {self.resolution // 8 * 8}",
            )

    @classmethod
    def for_base(cls, base: BaseModel | str, **changes: Any) -> FineTuneConfig:
        """Settings that suit a base, with ``changes``. Raises ``ConfigError``."""
        base_id = base if isinstance(base, str) else base.id
        return cls.from_mapping({**_suited(base_id), "base_model": base_id, **changes})

    @classmethod
    def from_mapping(cls, given: Any, *, base: BaseModel | None = None) -> FineTuneConfig:
        """Read a request's ``config.json``.

        With ``base``, keys that are not given take the values that suit it, and a request for
        another base or an impossible resolution is refused. Raises ``ConfigError``.
        """
        if not isinstance(given, Mapping):
            raise ConfigError(
                "The configuration is not a set of keys and values",
                f"It is {_shown(given)}",
                'Write a JSON object, such as {"n_steps": 300}',
            )
        known = [one.name for one in fields(cls)]
        for key in given:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                raise ConfigError(
                    f"Unknown configuration key {key!r}",
                    "",
                    f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(known)}",
                )
        if base is None:
            return cls(**given)
        config = cls(**{**_suited(base.id), "base_model": base.id, **given})
        config.check_base(base)
        return config

    def check_base(self, base: BaseModel) -> None:
        """Raise ``ConfigError`` unless ``base`` is the one asked for and paints this size."""
        if self.base_model != base.id:
            raise ConfigError(
                f"base_model is {self.base_model!r}",
                f"The base model here is {base.id!r}",
                "Leave base_model out, or send the job to an endpoint that holds that base",
            )
        if not base.resolution / 2 <= self.resolution <= base.resolution * 2:
            raise ConfigError(
                f"resolution is {self.resolution}",
                f"{base.id} paints {base.resolution} pixels and falls apart far from that",
                f"Use {base.resolution}, or between half and twice of it",
            )

    def to_mapping(self) -> dict[str, Any]:
        """The configuration as JSON can hold it; ``from_mapping`` reads it back."""
        return asdict(self)

    def replace(self, **changes: Any) -> FineTuneConfig:
        """A copy with changes. Raises ``ConfigError``."""
        return replace(self, **changes)

    def warnings(self, tokenizer: Any) -> list[str]:
        """What is allowed but probably not meant, in words. ``tokenizer`` is the base's own."""
        said = prompt_warnings(
            self.concept_prompt,
            self.class_prompt,
            tokenizer,
            spare=REGISTRY[self.base_model].spare_words,
        )
        if self.class_data_dir:
            said.append(
                "class_data_dir is not used: a request cannot choose folders, and class images "
                "are kept in the job's own."
            )
        return said


def _suited(base_id: str) -> Mapping[str, Any]:
    """What differs from the original's defaults for a base; nothing for one that nobody knows."""
    return REGISTRY[base_id].training if base_id in REGISTRY else {}


def _check(name: str, kind: str, limits: Mapping[str, Any], value: Any) -> None:
    if kind == "bool":
        if not isinstance(value, bool):
            raise ConfigError(f"{name} is {_shown(value)}", "It is a switch", "Use true or false")
    elif kind == "str":
        _check_text(name, value, limits)
    else:
        allowed = int if kind == "int" else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            wanted = "a whole number" if kind == "int" else "a number"
            raise ConfigError(f"{name} is {_shown(value)}", f"It must be {wanted}")
        _check_range(name, value, limits)


def _check_text(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {_shown(value)}", "It must be text")
    if not value and limits.get("may_be_empty"):
        return
    if not value.strip() or len(value) > 500 or not value.isprintable():
        raise ConfigError(
            f"{name} is empty, too long or holds control characters",
            "",
            "Use 1 to 500 printable characters",
        )
    if (choices := limits.get("choices")) and value not in choices:
        raise ConfigError(
            f"{name} is {_shown(value)}",
            UNSUPPORTED.get(value) or limits["why"],
            f"Choose from: {', '.join(choices)}",
        )


def _check_range(name: str, value: float, limits: Mapping[str, Any]) -> None:
    least, most, open = limits["least"], limits["most"], limits["open"]
    # Written so that NaN, which compares with nothing, fails.
    fits = least <= value <= most
    if not fits or (open == "[" and value == least) or (open == "]" and value == most):
        low = f"above {least:g}" if open == "[" else f"at least {least:g}"
        high = f"below {most:g}" if open == "]" else f"at most {most:,.12g}"
        raise ConfigError(f"{name} is {_shown(value)}", f"It must be {low} and {high}")


def _shown(value: Any) -> str:
    """A value as the request wrote it, if it is short; else what kind of thing it is."""
    kinds = {dict: "a set of keys", list: "a list", str: "a long text", int: "a huge number"}
    if isinstance(value, (dict, list)) or (isinstance(value, int) and abs(value) > 10**12):
        return kinds.get(type(value), "a collection")
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        return f"of type {type(value).__name__}"
    return text if len(text) <= 80 else kinds.get(type(value), "a long value")
