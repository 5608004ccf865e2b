"""A base model with the pocket's shapes and random weights: paints noise, but takes every path."""

from __future__ import annotations

from pathlib import Path

import torch

from helpers.pocket.model import PocketShape, build_text_encoder, build_unet, build_vae
from helpers.pocket.save import save_pocket
from helpers.pocket.vocabulary import build_tokenizer
from helpers.pocket.world.captions import world_words

SMALL = PocketShape(
    latent_channels=4, vae_channels=(16, 16, 16), unet_channels=(32, 32, 64), text_layers=1
)
"""The least that is still recognised as the pocket: steps cost a tenth."""


def write_random_base(folder: Path, shape: PocketShape = SMALL, *, seed: int = 0) -> Path:
    """Write a complete diffusers folder; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = build_tokenizer(world_words())
        text_encoder = build_text_encoder(shape, tokenizer)
        save_pocket(folder, build_vae(shape), build_unet(shape), text_encoder, tokenizer)
    return folder
