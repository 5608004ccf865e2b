"""What the machine can do of what a configuration asks for, and what is done instead."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig

CPU = torch.device("cpu")


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
        return _autocast(self.device, self.compute)


def in_half(device: torch.device) -> AbstractContextManager[Any]:
    """Forward passes in ``half_precision``, or in single precision where ``device`` has none."""
    return _autocast(device, half_precision(device))


def _autocast(device: torch.device, kind: torch.dtype | None) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, dtype=kind) if kind else nullcontext()


def half_precision(device: torch.device) -> torch.dtype | None:
    """The half precision that ``device`` computes in, ``None`` where it would only pretend to.

    bfloat16 where the hardware has it: its range needs no loss scaling. Of processors those count
    that multiply in it (AMX, AVX-512 BF16); elsewhere it is slower than single precision.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type != "cpu":
        return None
    # A container's older torch does not know what its processor can do.
    able = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if able.get("amx_bf16") or able.get("avx512_bf16") else None


def choose_precision(config: FineTuneConfig, device: torch.device) -> Precision:
    """Half precision where ``fp16`` asks for it and the machine computes in it.

    ``half_precision_base`` keeps the frozen base so, too, on an accelerator; one that is trained
    stays in single precision.
    """
    compute = half_precision(device) if config.fp16 else None
    # Autocast brings the numbers that meet in a layer norm together on accelerators alone.
    halved = config.half_precision_base and config.method == "lora" and device.type == "cuda"
    return Precision(
        device=device,
        weights=(compute if halved else None) or torch.float32,
        compute=compute,
        scaler=torch.amp.GradScaler(device.type, enabled=compute is torch.float16),
    )


def make_optimizer(
    config: FineTuneConfig, device: torch.device, groups: list[dict[str, Any]]
) -> torch.optim.Optimizer:
    """AdamW, or bitsandbytes' 8-bit AdamW where ``use_8bit_adam`` asks for it and it exists.

    ``groups`` hold ``params`` and their ``lr``.
    """
    how: dict[str, Any] = {
        "betas": (config.adam_beta1, config.adam_beta2),
        "eps": config.adam_epsilon,
        "weight_decay": config.adam_weight_decay,
    }
    if config.use_8bit_adam and _has_8bit_adam(device):
        import bitsandbytes  # type: ignore[import-not-found]

        return bitsandbytes.optim.AdamW8bit(groups, **how)
    return torch.optim.AdamW(groups, fused=True, **how)


@contextmanager
def memory_explained(config: FineTuneConfig) -> Iterator[None]:
    """Turn running out of memory into a ``TrainingError`` that says which settings need less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        said = any(words in text for words in ("out of memory", "allocate memory", "enough memory"))
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and not said:
            raise
        raise TrainingError(
            "The training does not fit into memory",
            f"The machine has no room for it with {_demands(config)}",
            f"In this order: {_relief(config)}; or take a larger machine",
        ) from error


def _demands(config: FineTuneConfig) -> str:
    checkpointed = "with" if config.gradient_checkpointing else "without"
    return (
        f"batch_size {config.batch_size}, {config.resolution} pixels, lora_r {config.lora_r} and "
        f"{checkpointed} gradient checkpointing"
    )


def _relief(config: FineTuneConfig) -> str:
    """The settings that can still give way, the ones that cost no quality first."""
    ways = []
    if not config.gradient_checkpointing:
        ways.append("set gradient_checkpointing to true")
    if config.batch_size > 1:
        ways.append("lower batch_size (and raise gradient_accumulation by as much)")
    if config.method == "full":
        ways.append('set method to "lora"')
    ways.append("lower resolution")
    if config.method == "lora" and config.lora_r > 4:
        ways.append("lower lora_r (and lora_alpha with it)")
    return ", ".join(ways)


def machine_warnings(config: FineTuneConfig, device: torch.device) -> list[str]:
    """What was asked for and is not done on this machine, in words."""
    said = []
    if config.fp16 and half_precision(device) is None:
        said.append("fp16 has no use on this processor: trained in single precision.")
    if config.use_8bit_adam and not _has_8bit_adam(device):
        lack = "an accelerator" if device.type != "cuda" else "the package bitsandbytes"
        said.append(f"use_8bit_adam needs {lack}: trained with plain AdamW.")
    return said


def _has_8bit_adam(device: torch.device) -> bool:
    return device.type == "cuda" and importlib.util.find_spec("bitsandbytes") is not None
