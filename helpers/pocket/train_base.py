"""Trains the U-Net of the pocket base on latents and captions; its text encoder reads already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from helpers.pocket.checkpoint import load_state, save_state
from helpers.pocket.model import LATENT_SPREAD, build_scheduler
from helpers.pocket.train_vae import cosine
from helpers.pocket.vocabulary import FILLERS
from helpers.tuning.diffusion import target_of
from helpers.tuning.precision import CPU, in_half

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

CAPTION_DROP = 0.1
"""Share of captions left empty: guidance needs an unconditional prediction to compare with."""
NOISY_SHARE, NOISY_FROM = 0.6, 600
"""More than half of each batch comes from the noisier part of the schedule. There it is settled
what stands where, which way it looks and which colour it has; what goes wrong there, the steps
after it only sharpen, and from less noise even a small network sees what a picture holds."""
DETAILED_SHARE = 0.5
"""Of half of the pictures the caption that tells most is read, so that attributes are no rarity."""


def timesteps(batch: int, rng: np.random.Generator) -> torch.Tensor:
    """(batch,) steps of the noise schedule, 0..999: stratified, so that each batch covers all of it
    evenly, and its noisy part once more."""
    noisy = round(batch * NOISY_SHARE)
    even = (np.arange(batch - noisy) + rng.random(batch - noisy)) / (batch - noisy)
    late = (np.arange(noisy) + rng.random(noisy)) / max(noisy, 1)
    steps = np.concatenate([even * 1000, NOISY_FROM + late * (1000 - NOISY_FROM)])
    return torch.from_numpy(steps.astype(int))


def _told(caption: str) -> int:
    """Words that mean something."""
    return sum(word not in FILLERS for word in caption.replace(",", " ").split())


def train_base(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    latents: torch.Tensor,
    captions: list[list[str]],
    *,
    scale: float,
    steps: int,
    batch: int,
    rate: float,
    checkpoint: Path,
    weights: torch.Tensor | None = None,
    chances: np.ndarray | None = None,
    seed: int = 0,
    save_every: int = 250,
) -> Iterator[tuple[int, float, dict[str, torch.Tensor]]]:
    """Yield ``(step, loss, average)``; ``average`` holds the running mean of the U-Net's weights.

    ``latents`` are means and log-variances (N, 2C, h, w); ``scale`` brings samples to
    ``LATENT_SPREAD``; ``weights`` (N, h, w) say how much an error matters where,
    ``chances`` (N,) how often a picture is drawn, and sum to 1; without them all are alike.
    """
    unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # On CPUs the fused attention's backward pass takes longer than the whole network without it.
    unet.set_attn_processor(AttnProcessor())
    text_encoder.eval().requires_grad_(False)
    trained = {f"unet.{key}": weight for key, weight in unet.named_parameters()}
    optimizer = torch.optim.AdamW(trained.values(), lr=rate, weight_decay=1e-2, betas=(0.9, 0.99))
    average = {key: value.detach().clone() for key, value in trained.items()}
    start = load_state(checkpoint, modules={"unet": unet}, optimizer=optimizer, average=average)

    schedule = build_scheduler()
    ids = torch.tensor(
        [[tokenizer(c, padding="max_length", truncation=True).input_ids for c in four]
         for four in captions], dtype=torch.int32,
    )  # fmt: skip
    fullest = torch.tensor([int(np.argmax([_told(c) for c in four])) for four in captions])
    empty = torch.tensor(tokenizer("", padding="max_length").input_ids, dtype=torch.int32)

    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        noise_seed = torch.Generator().manual_seed(seed * 1_000_003 + step)
        rows = torch.from_numpy(rng.choice(len(latents), batch, p=chances))
        which = torch.from_numpy(rng.integers(0, ids.shape[1], batch))
        detailed = torch.from_numpy(rng.random(batch) < DETAILED_SHARE)
        words = ids[rows, torch.where(detailed, fullest[rows], which)].clone()
        words[torch.from_numpy(rng.random(batch) < CAPTION_DROP)] = empty
        clean = DiagonalGaussianDistribution(latents[rows].float()).sample(noise_seed) * scale
        noise = torch.randn(clean.shape, generator=noise_seed)
        times = timesteps(batch, rng)
        noisy = schedule.add_noise(clean, noise, times)  # type: ignore[arg-type]
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, steps, rate, warmup=200)
        with in_half(CPU):
            with torch.no_grad():
                context = text_encoder(words.long())[0]
            guess = unet(noisy.contiguous(memory_format=torch.channels_last), times, context).sample
        kept = schedule.alphas_cumprod[times]
        strength = kept + (1 - kept) * LATENT_SPREAD**2  # of the target, which is noise and picture
        errors = (guess.float() - target_of(schedule, clean, noise, times)).square()
        if weights is not None:
            errors = errors * weights[rows][:, None]
        loss = (errors.mean((1, 2, 3)) / strength).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)
        optimizer.step()
        # The mean forgets its random start quickly, then looks back over a tenth of the run.
        keep = min(1 - 10 / steps, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), list(trained.values()), 1 - keep)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_state(checkpoint, step=step + 1, modules={"unet": unet}, optimizer=optimizer,
                       average=average)  # fmt: skip
        yield step + 1, loss.item(), average
