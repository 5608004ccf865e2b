"""Low-rank adapters on a base: attached for training, taken off as tensors of plain diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from helpers.bases import REGISTRY
from helpers.bases.keys import prefixed
from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.networks import BUILDING, Networks


def attach_lora(networks: Networks, config: FineTuneConfig) -> list[torch.nn.Parameter]:
    """Put a fresh adapter on the U-Net and, if the configuration says so, on the text encoder.

    Returns the parameters to train, in single precision. A fresh adapter changes nothing: one of
    its two matrices is zero. The other is drawn from ``config.seed``. Raises ``TrainingError``
    when there is an adapter already.
    """
    if _adapted(networks):
        raise TrainingError(
            "These networks carry an adapter already", "", "Load the base again with load_networks"
        )
    targets = lora_layers(config)
    # peft draws numbers of its own from torch's global generator, which is the caller's.
    with BUILDING, torch.random.fork_rng(devices=[]):
        networks.unet.add_adapter(
            LoraConfig(
                r=config.lora_r,
                lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # fractions work
                lora_dropout=config.lora_dropout,
                init_lora_weights="gaussian",
                target_modules=targets["unet"],
            )
        )
        if config.train_text_encoder:
            networks.text_encoder.add_adapter(
                LoraConfig(
                    r=config.lora_text_encoder_r,
                    lora_alpha=config.lora_text_encoder_alpha,  # type: ignore[arg-type]
                    lora_dropout=config.lora_text_encoder_dropout,
                    init_lora_weights="gaussian",
                    target_modules=targets["text_encoder"],
                )
            )
    generator = torch.Generator().manual_seed(config.seed)
    trained = []
    for network in (networks.unet, networks.text_encoder):
        for name, parameter in network.named_parameters():
            if "lora_" not in name:
                continue
            parameter.data = parameter.data.float()
            if "lora_A" in name:
                drawn = torch.randn(parameter.shape, generator=generator) / parameter.shape[0]
                parameter.data.copy_(drawn)
            parameter.requires_grad_(True)
            trained.append(parameter)
    return trained


def lora_layers(config: FineTuneConfig) -> dict[str, list[str]]:
    """On which layers of each network the adapter sits, as this base names them."""
    base = REGISTRY[config.base_model]
    wanted = config.lora_targets.split(",")
    named = {name: name.removeprefix("to_").partition(".")[0] for name in base.unet_targets}
    return {
        "unet": [name for name, short in named.items() if short in wanted],
        "text_encoder": list(base.text_targets) if config.train_text_encoder else [],
    }


def set_lora_enabled(networks: Networks, enabled: bool) -> None:
    """Switch the adapter on or off; off, the networks are the base's, bit for bit."""
    for network in _adapted(networks):
        (network.enable_adapters if enabled else network.disable_adapters)()


def lora_tensors(networks: Networks, config: FineTuneConfig) -> dict[str, torch.Tensor]:
    """The adapter as plain diffusers reads it: half precision, strength folded in.

    The format has no agreed place for alpha, and a loader that does not find it takes alpha =
    rank. So ``alpha / rank`` goes into the weights, half into each matrix to keep small numbers
    representable, and whoever loads them gets the strength that was trained.
    """
    strengths = {"unet": config.lora_alpha / config.lora_r}
    if config.train_text_encoder:
        strengths["text_encoder"] = config.lora_text_encoder_alpha / config.lora_text_encoder_r
    tensors = {}
    for part, strength in strengths.items():
        state = get_peft_model_state_dict(getattr(networks, part))
        for key, value in state.items():
            key = f"{part}.{prefixed(key) if part == 'text_encoder' else key}"
            tensors[key] = (value.detach() * strength**0.5).to("cpu", torch.float16).contiguous()
    return tensors


@contextmanager
def training_mode(networks: Networks, config: FineTuneConfig) -> Iterator[None]:
    """Dropout and, if asked for, gradient checkpointing of the networks that are trained."""
    adapted = _trained(networks)
    for network in adapted:
        network.train()
        if config.gradient_checkpointing:
            _checkpoint(network, True)
    try:
        yield
    finally:
        for network in adapted:
            network.eval()
            if config.gradient_checkpointing:
                _checkpoint(network, False)


def detach_lora(networks: Networks) -> None:
    """Take the adapter off and throw it away: the networks are the base's again, bit for bit."""
    for network in _adapted(networks):
        with BUILDING:
            recurse_remove_peft_layers(network)
        del network.peft_config
        network._hf_peft_config_loaded = False


def _checkpoint(network: torch.nn.Module, on: bool) -> None:
    # diffusers, transformers and older transformers name the same switch differently.
    for kind in (
        "{}_gradient_checkpointing",
        "activation_checkpointing_{}",
        "gradient_checkpointing_{}",
    ):
        switch = getattr(network, kind.format("enable" if on else "disable"), None)
        if switch:
            switch()
            return


def _trained(networks: Networks) -> list[Any]:
    """Those with an adapter, and those whose own weights are trained. Learned words do not count:
    nothing of the text encoder itself moves."""
    return [
        network
        for network in (networks.unet, networks.text_encoder)
        if any(one.requires_grad for name, one in network.named_parameters() if "rows" not in name)
    ]


def _adapted(networks: Networks) -> list[Any]:
    return [
        network
        for network in (networks.unet, networks.text_encoder)
        if getattr(network, "_hf_peft_config_loaded", False)
    ]
