"""What a fine-tuning request may ask for: the keys of the original call, checked one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from helpers.bases import REGISTRY, BaseModel
from helpers.bases.registry import ORIGINAL
from helpers.errors import ConfigError, fit_to_print
from helpers.tuning.checks import check_value, shown
from helpers.tuning.presets import (
    AWS_2023,
    COURSE,
    EVEN,
    RECIPES,
    WEIGHTINGS,
    recipe_values,
    step_budget,
)
from helpers.tuning.prompts import prompt_warnings

_NO_BIASES = "An adapter for plain diffusers holds no biases"


def _number(default: Any, least: float, most: float, *, open: str = "") -> Any:
    """A field with a range. ``open`` is "[" or "]" for an end that does not belong to it."""
    return field(default=default, metadata={"least": least, "most": most, "open": open})


def _later(default: Any, least: float, most: float, *, open: str = "") -> Any:
    """A number that came later: it is written down only where it differs from its default, so that
    what was named by a configuration before keeps its name."""
    limits = {"least": least, "most": most, "open": open, "later": True}
    return field(default=default, metadata=limits)


def _choice(default: str, choices: Collection[str], why: str) -> Any:
    return field(default=default, metadata={"choices": choices, "why": why})


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """One fine-tuning job. Names and defaults are those of the original ``Trainer.run``.

    ``preset`` gives one of two recipes for a base, ``for_base`` the course's; ``from_mapping``
    reads a request. Any value of a wrong type or outside its range raises ``ConfigError`` that
    names the key. The keys after ``seed`` are ours; their defaults do what the original did.

    ``resolution``                side of the training pictures in pixels, a multiple of 8
    ``n_steps``                   optimizer steps; each sees ``gradient_accumulation`` batches of
                                  ``batch_size`` instance images (and as many class images)
    ``concept_prompt``            names the subject: an identifier and its class noun
    ``lr_scheduler``              ``constant``, or ``linear`` or ``cosine``, which fall to a tenth
    ``fp16``                      half precision, where the machine computes in it
    ``use_8bit_adam``             bitsandbytes' optimizer, on an accelerator that has it only
    ``with_prior_preservation``   keep the class as it was: adds ``prior_loss_weight`` times the
                                  loss on ``num_class_images`` pictures of ``class_prompt``
    ``class_data_dir``            accepted because the original has it; never used as a path
    ``lora_r``, ``lora_alpha``    rank of the U-Net's adapter, and its strength ``alpha / r``
    ``lora_bias``                 ``none``: the adapter's format has no place for biases
    ``lora_text_encoder_*``       the same for the text encoder, if ``train_text_encoder``
    ``face_preprocessing``        crop to the largest face instead of the centre

    ``recipe``                    whose values the keys have that nobody gave: ``aws-2023`` or
                                  ``course``
    ``method``                    ``lora`` (an adapter) or ``full`` (every weight of the U-Net, and
                                  of the text encoder if ``train_text_encoder``)
    ``lora_targets``              layers of the U-Net's attention that the adapter is put on
    ``lr_warmup``                 share of the steps over which the rate rises from zero
    ``half_precision_base``       where ``fp16`` holds, an accelerator keeps the frozen base so, too
    ``learned_tokens``            embeddings learned for the identifier, beside the adapter; 0: none
    ``token_learning_rate``       their rate
    ``cache_latents``             encode each picture once, keep mean and spread of its latents
    ``cache_text_embeddings``     encode each prompt once, where nothing of its encoding is trained
    ``crops``                     squares cut from each instance image: the whole, then closer ones
    ``class_image_steps``         steps of the sampler that paints class images
    ``prior_bank``                share class images between jobs of one base, class and seed
    ``keep_base``                 keep the base in memory for the next job
    ``steps_per_photo``           a budget by photos with ``n_steps`` as the most (``step_budget``)
    ``heldout_images``            photos put aside to measure on, a fifth of all at most
    ``heldout_every``             steps between two measurements on them
    ``patience``                  measurements without a better one after which the training stops,
                                  from half of the steps on; the best adapter of that half is then
                                  kept. 0: to the end, and the last is kept
    ``loss_weighting``            what errors count: ``even``, or ``v``: more the heavier the noise
    ``adam_*``, ``max_grad_norm`` the optimizer's own, and the length to which gradients are cut
    """

    base_model: str = _choice(
        ORIGINAL, REGISTRY, "A base is named by its registry id, never by a path or URL"
    )
    resolution: int = _number(512, 32, 1024)
    n_steps: int = _number(1000, 1, 20_000)
    concept_prompt: str = "photo of <<TOK>>"
    learning_rate: float = _number(1e-4, 0, 1, open="[")
    lr_scheduler: str = _choice(
        "constant", ("constant", "linear", "cosine"), "The rate stays or falls"
    )
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
    recipe: str = _choice(AWS_2023, RECIPES, "There are two recipes")
    method: str = _choice("lora", ("lora", "full"), "There are two methods")
    lora_targets: str = _choice("q,v", ("q,v", "q,k,v,out"), "Adapters sit on the attention")
    lr_warmup: float = _number(0.0, 0, 1, open="]")
    half_precision_base: bool = False
    learned_tokens: int = _number(0, 0, 8)
    token_learning_rate: float = _number(3e-4, 0, 1, open="[")
    cache_latents: bool = False
    cache_text_embeddings: bool = False
    crops: int = _number(1, 1, 16)
    class_image_steps: int = _number(50, 1, 100)
    prior_bank: bool = False
    keep_base: bool = False
    steps_per_photo: int = _number(0, 0, 1000)
    heldout_images: int = _number(0, 0, 64)
    heldout_every: int = _number(50, 1, 20_000)
    patience: int = _number(0, 0, 1000)
    loss_weighting: str = field(
        default=EVEN,
        metadata={"choices": WEIGHTINGS, "why": "Noise levels count alike or not", "later": True},
    )
    adam_beta1: float = _later(0.9, 0, 1, open="]")
    adam_beta2: float = _later(0.999, 0, 1, open="]")
    adam_weight_decay: float = _later(1e-2, 0, 1)
    adam_epsilon: float = _later(1e-8, 0, 1, open="[")
    max_grad_norm: float = _later(1.0, 0, 1000, open="[")

    def __post_init__(self) -> None:
        for one in fields(self):
            check_value(one.name, str(one.type), one.metadata, getattr(self, one.name))
        if self.resolution % 8:
            raise ConfigError(
                f"resolution is {self.resolution}",
                "The autoencoder works on blocks of pixels",
                f"Use a multiple of 8, such as {self.resolution // 8 * 8}",
            )

    @classmethod
    def preset(cls, name: str, base: BaseModel | str, **changes: Any) -> FineTuneConfig:
        """The recipe of that name (``aws-2023`` or ``course``) for a base, with ``changes``.

        ``base`` is an opened base or an id of the registry. Raises ``ConfigError``.
        """
        base_id = base if isinstance(base, str) else base.id
        return cls.from_mapping({**recipe_values(name, base_id, changes), **changes})

    @classmethod
    def for_base(cls, base: BaseModel | str, **changes: Any) -> FineTuneConfig:
        """The course's recipe for a base, with ``changes``. Raises ``ConfigError``."""
        return cls.preset(COURSE, base, **changes)

    @classmethod
    def from_mapping(cls, given: Any, *, base: BaseModel | None = None) -> FineTuneConfig:
        """Read a request's ``config.json``.

        With ``base``, keys that are not given take the values of its ``recipe`` (the course's, if
        it names none), and a request for another base or an impossible resolution is refused.
        Raises ``ConfigError``.
        """
        if not isinstance(given, Mapping):
            raise ConfigError(
                "The configuration is not a set of keys and values",
                f"It is {shown(given)}",
                'Write a JSON object, such as {"n_steps": 300}',
            )
        known = [one.name for one in fields(cls)]
        for key in given:
            if key not in known:
                near = get_close_matches(str(key)[:60], known, n=1)
                raise ConfigError(
                    f"Unknown configuration key '{fit_to_print(key)}'",
                    "",
                    f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(known)}",
                )
        if base is None:
            return cls(**given)
        config = cls(**{**recipe_values(given.get("recipe", COURSE), base.id, given), **given})
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

    def steps_for(self, photos: int) -> int:
        """Optimizer steps of a job of so many photos, those put aside included."""
        return step_budget(photos, self.steps_per_photo, self.n_steps)

    def heldout_of(self, photos: int) -> int:
        """How many of so many photos are put aside: never more than a fifth."""
        return min(self.heldout_images, photos // 5)

    def to_mapping(self) -> dict[str, Any]:
        """The configuration as JSON can hold it; ``from_mapping`` reads it back."""
        usual = {one.name: one.default for one in fields(self) if one.metadata.get("later")}
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in usual or value != usual[name]
        }

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
