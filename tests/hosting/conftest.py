"""Adapters of every kind, made with peft as the trainer makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from helpers.bases import file_sha256, open_base
from helpers.tuning.adapter import EMBEDDINGS, MANIFEST, write_adapter
from tests.random_base import write_random_base

MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of random weights that paints in a tenth of the pocket's time."""
    return write_random_base(tmp_path_factory.mktemp("small") / "base")


@pytest.fixture(scope="session")
def make_adapter(pocket: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeAdapter:
    """Makes an adapter of random weights (strong enough to be seen) for the pocket base."""
    made: dict[object, Path] = {}

    def make(
        seed: int,
        *,
        text_encoder: bool = False,
        token: str = "doppler",
        words: int = 0,
        rank: int = 4,
        base_hash: str | None = None,
        change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] | None = None,
    ) -> Path:
        if seed in made:
            return made[seed]
        torch.manual_seed(seed)
        pipe = StableDiffusionPipeline.from_pretrained(pocket)
        targets = {"unet": ["to_q", "to_k", "to_v", "to_out.0"]}
        tensors = _lora("unet", pipe.unet, rank, targets["unet"])
        if text_encoder:
            targets["text_encoder"] = ["q_proj", "v_proj"]
            part = "text_encoder.text_model"
            tensors |= _lora(part, pipe.text_encoder, rank, targets["text_encoder"])
        base = open_base(pocket)
        adapter = write_adapter(
            change(tensors) if change else tensors,
            tmp_path_factory.mktemp("adapter") / "adapter",
            base=replace(base, hash=base_hash or base.hash),
            resolution=base.resolution,
            rank=rank,
            alpha=float(rank),
            text_encoder_rank=rank if text_encoder else None,
            text_encoder_alpha=float(rank) if text_encoder else None,
            targets=targets,
            prompt=f"a photo of {token} dog",
            token=token,
            class_noun="dog",
            configuration={},
            seed=seed,
            versions={},
            metrics={},
            warnings=[],
        )
        made[seed] = adapter.folder
        if words:
            width = pipe.text_encoder.config.hidden_size
            learned = adapter.folder / EMBEDDINGS
            save_file({token: torch.randn(words, width)}, learned)
            manifest = adapter.folder / MANIFEST
            facts = json.loads(manifest.read_text()) | {"embeddings_sha256": file_sha256(learned)}
            manifest.write_text(json.dumps(facts))
        return made[seed]

    return make


def _lora(
    part: str, model: torch.nn.Module, rank: int, targets: list[str]
) -> dict[str, torch.Tensor]:
    model.add_adapter(  # type: ignore[operator]
        LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights=False)
    )
    tensors = get_peft_model_state_dict(model)
    return {f"{part}.{key}": value.contiguous() for key, value in tensors.items()}
