"""Writes the pocket base as an ordinary diffusers folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from helpers.bases.keys import prefixed
from helpers.pocket.model import assemble

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer


def save_pocket(
    folder: Path,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    average: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Save in half precision; ``average`` (keys ``unet.…``) replaces the U-Net's weights.

    The networks passed in are left as they were.
    """
    kept = {key: value.clone() for key, value in unet.state_dict().items()}
    if average:
        unet.load_state_dict({k.removeprefix("unet."): v for k, v in average.items()})
    assemble(vae, unet, text_encoder, tokenizer).save_pretrained(folder)
    unet.load_state_dict(kept)
    for path in folder.rglob("*.safetensors"):
        tensors = {key: value.half() for key, value in load_file(path).items()}
        if path.parent.name == "text_encoder":
            tensors = {prefixed(key): value for key, value in tensors.items()}
        save_file(tensors, path, metadata={"format": "pt"})
    _classic_tokenizer(folder / "tokenizer", tokenizer)


def _classic_tokenizer(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """The two classic files beside ``tokenizer.json``, for older transformers."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n", "utf-8")
