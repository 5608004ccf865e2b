"""What one pass through Stable Diffusion 2.1's networks costs, counted by PyTorch itself.

The trainer's own functions put the adapter on and switch checkpointing; the tensors have shapes and
no storage (the device ``meta``), so a count takes a second and little memory. Counted are matrix
products, convolutions and attention, two operations for each multiplication and addition; sums,
norms, activations and the optimizer are not, and are small beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.bench.shapes import SD_2_1, networks
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.lora import attach_lora, training_mode
from helpers.tuning.networks import Networks

TERA = 1e12
_DECIDE = (
    "base_model", "resolution", "gradient_checkpointing", "train_text_encoder", "learned_tokens",
    "lora_r", "lora_targets", "lora_dropout", "lora_text_encoder_r", "lora_text_encoder_dropout",
)  # fmt: skip
"""The settings on which the cost of one pass depends."""


@dataclass(frozen=True, kw_only=True)
class BasePasses:
    """TFLOP of the bare networks: ``unet``, ``encode`` and ``decode`` for each picture, ``text``
    for each prompt."""

    unet: float
    encode: float
    decode: float
    text: float


@dataclass(frozen=True, kw_only=True)
class AdaptedPasses:
    """TFLOP with an adapter on, and how many numbers it has, learned words included.

    ``unet`` and ``text`` look forward only; ``unet_step`` and ``text_step`` go forward and back,
    recomputing what checkpointing threw away. A frozen text encoder's are the bare one's and 0.
    """

    unet: float
    unet_step: float
    text: float
    text_step: float
    parameters: int


@lru_cache(maxsize=4)
def base_passes(resolution: int) -> BasePasses:
    """The bare networks at a side of ``resolution`` pixels."""
    bare = networks()
    with torch.no_grad():
        return BasePasses(
            unet=_count(lambda: _predict(bare, resolution)),
            encode=_count(lambda: bare.vae.encode(_empty(3, resolution, resolution))),
            decode=_count(lambda: bare.vae.decode(_latents(resolution))),
            text=_count(lambda: _read(bare)),
        )


def adapted_passes(config: FineTuneConfig) -> AdaptedPasses:
    """The networks as ``config`` would train them. Raises ``ValueError`` for full fine-tuning."""
    if config.method != "lora":
        raise ValueError("only adapters are counted")
    return _adapted_passes(FineTuneConfig(**{name: getattr(config, name) for name in _DECIDE}))


@lru_cache(maxsize=16)
def _adapted_passes(config: FineTuneConfig) -> AdaptedPasses:
    made = networks()
    parameters = attach_lora(made, config)
    size, side = sum(parameter.numel() for parameter in parameters), config.resolution
    with torch.no_grad():
        unet = _count(lambda: _predict(made, side))
        text = _count(lambda: _read(made))
    with training_mode(made, config):
        learns_text = config.train_text_encoder or config.learned_tokens > 0
        unet_step = _count(lambda: _predict(made, side, through_text=learns_text).sum().backward())
        text_step = 0.0
        if learns_text:
            if config.learned_tokens:
                # A learned word is a row beside this table: going back to it costs the same.
                words = made.text_encoder.get_input_embeddings().weight.requires_grad_(True)
                size += config.learned_tokens * words.shape[1]
            text_step = _count(lambda: _read(made).sum().backward())
    return AdaptedPasses(
        unet=unet, unet_step=unet_step, text=text, text_step=text_step, parameters=size
    )


def _count(work: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / TERA


def _predict(made: Networks, side: int, *, through_text: bool = False) -> torch.Tensor:
    """``through_text``: the step goes back into the text's embeddings, too."""
    text = _empty(SD_2_1.window, SD_2_1.text["hidden_size"])
    times = torch.zeros(1, dtype=torch.long, device="meta")
    return made.unet(_latents(side), times, text.requires_grad_(through_text)).sample


def _read(made: Networks) -> torch.Tensor:
    return made.text_encoder(torch.zeros(1, SD_2_1.window, dtype=torch.long, device="meta"))[0]


def _latents(resolution: int) -> torch.Tensor:
    return _empty(SD_2_1.unet["in_channels"], resolution // 8, resolution // 8)


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(1, *shape, device="meta")
