"""Avatars to host: adapters of random weights, which cost what trained ones cost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from helpers.bases import BaseModel
from helpers.settings import ROOT
from helpers.tuning.adapter import write_adapter

MODELS = Path(__file__).with_name("hosting_models")
RANK = 16
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


def attention(unet: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """The attention layers that adapters sit on: inputs and outputs by name."""
    return {
        name: (layer.in_features, layer.out_features)
        for name, layer in unet.named_modules()
        if isinstance(layer, torch.nn.Linear) and name.endswith(TARGETS)
    }


def write_random_adapter(
    folder: Path, base: BaseModel, layers: dict[str, tuple[int, int]], seed: int
) -> Path:
    """An adapter of rank 16 in half precision, as the trainer writes them."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=generator) * 0.05).half()

    tensors = {}
    for name, (inputs, outputs) in layers.items():
        tensors[f"unet.{name}.lora_A.weight"] = numbers(RANK, inputs)
        tensors[f"unet.{name}.lora_B.weight"] = numbers(outputs, RANK)
    facts: dict[str, Any] = {"configuration": {}, "versions": {}, "metrics": {}, "warnings": []}
    return write_adapter(
        tensors,
        folder,
        base=base,
        resolution=base.resolution,
        rank=RANK,
        alpha=float(RANK),
        text_encoder_rank=None,
        text_encoder_alpha=None,
        targets={"unet": list(TARGETS)},
        prompt="a photo of a dog",
        token="dog",
        class_noun="dog",
        seed=seed,
        **facts,
    ).folder


def stub_model(url: Path, adapter: Path) -> Path:
    """What the endpoint unpacks for an avatar of this course."""
    return _model(url, ROOT / "training_service" / "sd_lora", adapter)


def pipeline_model(url: Path, adapter: Path, base: BaseModel) -> Path:
    """What it unpacks for one of 2023: a model that loads the whole base."""
    made = _model(url, MODELS / "pipeline", adapter)
    (made / "sd_lora" / "1" / "base.txt").write_text(str(base.folder), encoding="utf-8")
    return made


def _model(url: Path, code: Path, adapter: Path) -> Path:
    shutil.copytree(code, url / "sd_lora", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(adapter, url / "sd_lora" / "1" / "adapter")
    return url
