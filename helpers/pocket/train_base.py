"""Trains the U-Net and, jointly, the text encoder of the pocket base."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor

from helpers.pocket.checkpoint import load_state, save_state
from helpers.pocket.model import build_scheduler
from helpers.pocket.train_vae import cosine
from helpers.tuning.weighting import as_v

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

CAPTION_DROP = 0.1
"""Share of captions left empty: guidance needs an unconditional prediction to compare with."""
NOISY_SHARE, NOISY_FROM = 0.5, 600
"""Half of each batch comes from the noisiest part of the schedule, where ``as_v`` weighs it up. The
colour of a thing is a faint tint of the whole, seen through all but the heaviest noise: only there
have words something to add, and there the plain loss is a hundredth of what it is elsewhere. Drawn
and weighed evenly, 250,000 pictures did not teach the base a single colour word: a caption with
another colour changed its loss by less than one part in a hundred."""
TEXT_RATE = 0.1
"""The text encoder's share of the learning rate: it can read already, and shall not forget it."""


def timesteps(batch: int, rng: np.random.Generator) -> torch.Tensor:
    """(batch,) steps of the noise schedule, 0..999: stratified, so that each batch covers all of it
    evenly, and its noisy part once more."""
    noisy = round(batch * NOISY_SHARE)
    even = (np.arange(batch - noisy) + rng.random(batch - noisy)) / (batch - noisy)
    late = (np.arange(noisy) + rng.random(noisy)) / max(noisy, 1)
    steps = np.concatenate([even * 1000, NOISY_FROM + late * (1000 - NOISY_FROM)])
    return torch.from_numpy(steps.astype(int))


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
    seed: int = 0,
    save_every: int = 250,
) -> Iterator[tuple[int, float, dict[str, torch.Tensor]]]:
    """Yield ``(step, loss, average)``; ``average`` holds the running mean of all weights.

    ``latents`` are means and log-variances (N, 8, h, w); ``scale`` brings samples to unit spread.
    """
    unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # On CPUs the fused attention's backward pass takes longer than the whole network without it.
    unet.set_attn_processor(AttnProcessor())
    modules = {"unet": unet, "text": text_encoder}
    weights = {f"{n}.{k}": p for n, m in modules.items() for k, p in m.named_parameters()}
    groups = [{"params": [*unet.parameters()], "share": 1.0},
              {"params": [*text_encoder.parameters()], "share": TEXT_RATE}]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=1e-2, betas=(0.9, 0.99))
    average = {key: value.detach().clone() for key, value in weights.items()}
    start = load_state(checkpoint, modules=modules, optimizer=optimizer, average=average)

    alphas = build_scheduler().alphas_cumprod
    importance = as_v(alphas)
    ids = torch.tensor(
        [[tokenizer(c, padding="max_length", truncation=True).input_ids for c in four]
         for four in captions], dtype=torch.int32,
    )  # fmt: skip
    empty = torch.tensor(tokenizer("", padding="max_length").input_ids, dtype=torch.int32)

    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        noise_seed = torch.Generator().manual_seed(seed * 1_000_003 + step)
        rows = torch.from_numpy(rng.integers(0, len(latents), batch))
        words = ids[rows, torch.from_numpy(rng.integers(0, ids.shape[1], batch))].clone()
        words[torch.from_numpy(rng.random(batch) < CAPTION_DROP)] = empty
        mean, logvar = latents[rows].float().chunk(2, dim=1)
        spread = torch.randn(mean.shape, generator=noise_seed) * (0.5 * logvar.clamp(-30, 20)).exp()
        clean = (mean + spread) * scale
        noise = torch.randn(clean.shape, generator=noise_seed)
        times = timesteps(batch, rng)
        level = alphas[times][:, None, None, None]
        noisy = level.sqrt() * clean + (1 - level).sqrt() * noise
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * cosine(step, steps, rate, warmup=200)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            context = text_encoder(words.long())[0]
            guess = unet(noisy.contiguous(memory_format=torch.channels_last), times, context).sample
        loss = ((guess.float() - noise) ** 2).mean(dim=(1, 2, 3)) * importance[times]
        loss = loss.mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        # The mean forgets its random start quickly, then looks back over a tenth of the run.
        keep = min(1 - 10 / steps, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), list(weights.values()), 1 - keep)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_state(checkpoint, step=step + 1, modules=modules, optimizer=optimizer,
                       average=average)  # fmt: skip
        yield step + 1, loss.item(), average
