"""Stable Diffusion 2.1's networks, written down: their shape decides what they cost.

The numbers are those of the published configurations of ``stable-diffusion-2-1-base``. Nothing is
downloaded: cost is counted on tensors without storage, and speed is measured with random weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from helpers.bases import BaseModel
from helpers.bases.registry import STABLE_DIFFUSION_2_1_BASE as ENTRY
from helpers.pocket.vocabulary import build_tokenizer
from helpers.pocket.world.captions import world_words
from helpers.tuning.networks import BUILDING, Networks


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The configurations of a base's three networks, as diffusers and transformers name them."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: Mapping[str, Any]

    @property
    def window(self) -> int:
        """Tokens of a prompt, padding included."""
        return self.text["max_position_embeddings"]


SD_2_1 = Shape(
    unet={
        "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
        "block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024, "use_linear_projection": True,
    },
    vae={
        "sample_size": 512, "latent_channels": 4, "layers_per_block": 2,
        "block_out_channels": (128, 256, 512, 512), "scaling_factor": 0.18215,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    },
    text={
        "vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096,
        "num_hidden_layers": 23, "num_attention_heads": 16, "max_position_embeddings": 77,
        "hidden_act": "gelu", "projection_dim": 512,
    },
)  # fmt: skip
NOISE: dict[str, Any] = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000, "clip_sample": False, "steps_offset": 1,
    "prediction_type": "epsilon",
}  # fmt: skip


def networks(shape: Shape = SD_2_1, *, device: str = "meta") -> Networks:
    """The networks, frozen, with random weights or (on the device ``meta``) with none at all."""
    with BUILDING, torch.device(device):
        parts: dict[str, Any] = {
            "unet": UNet2DConditionModel(**shape.unet),
            "vae": AutoencoderKL(**shape.vae),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**shape.text)),
        }
    tokenizer = build_tokenizer(world_words())
    tokenizer.model_max_length = shape.window
    return Networks(
        **{name: part.requires_grad_(False).eval() for name, part in parts.items()},
        tokenizer=tokenizer,
        noise=DDPMScheduler(**NOISE),
        device=torch.device(device),
        dtype=torch.float32,
    )


def write_random_base(folder: Path, shape: Shape = SD_2_1, *, seed: int = 0) -> BaseModel:
    """A base of that shape with random weights in half precision: 2.6 GB that paint noise.

    It is no base of the registry's and no hash vouches for it: it is there to be timed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = networks(shape, device="cpu")
    pipe: Any = StableDiffusionPipeline(
        vae=made.vae,
        text_encoder=made.text_encoder,
        tokenizer=made.tokenizer,
        unet=made.unet,
        scheduler=made.noise,  # type: ignore[arg-type]
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipe.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    return random_base(folder)


def random_base(folder: Path) -> BaseModel:
    """The base that ``write_random_base`` left in ``folder``."""
    return BaseModel(
        id=ENTRY.id,
        folder=folder,
        hash="0" * 64,
        resolution=ENTRY.resolution,
        prediction_type=ENTRY.prediction_type,
        vouched="random weights, for timing",
    )
