"""What the machine can do of what a configuration asks for, and what is done instead."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from helpers.tuning.config import FineTuneConfig


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How to compute: ``weights`` of the frozen base, ``compute`` inside autocast (or ``None``).

    The adapter itself is always trained in single precision.
    """

    device: torch.device
    weights: torch.dtype
    compute: torch.dtype | None
    scaler: Any

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        if self.compute is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.compute)


def choose_precision(config: FineTuneConfig, device: torch.device) -> Precision:
    """Half precision where ``fp16`` asks for it and an accelerator is there.

    bfloat16 is taken where the hardware has it: its range needs no loss scaling.
    """
    compute = None
    if config.fp16 and device.type == "cuda":
        compute = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return Precision(
        device=device,
        weights=compute or torch.float32,
        compute=compute,
        scaler=torch.amp.GradScaler(device.type, enabled=compute is torch.float16),
    )


def make_optimizer(
    config: FineTuneConfig, device: torch.device, parameters: list[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """AdamW, or bitsandbytes' 8-bit AdamW where ``use_8bit_adam`` asks for it and it exists."""
    if config.use_8bit_adam and _has_8bit_adam(device):
        import bitsandbytes  # type: ignore[import-not-found]

        return bitsandbytes.optim.AdamW8bit(parameters, lr=config.learning_rate)
    return torch.optim.AdamW(parameters, lr=config.learning_rate)


def machine_warnings(config: FineTuneConfig, device: torch.device) -> list[str]:
    """What was asked for and is not done on this machine, in words."""
    said = []
    if config.fp16 and device.type != "cuda":
        said.append("fp16 has no use without an accelerator: trained in single precision.")
    if config.use_8bit_adam and not _has_8bit_adam(device):
        lack = "an accelerator" if device.type != "cuda" else "the package bitsandbytes"
        said.append(f"use_8bit_adam needs {lack}: trained with plain AdamW.")
    return said


def _has_8bit_adam(device: torch.device) -> bool:
    return device.type == "cuda" and importlib.util.find_spec("bitsandbytes") is not None
