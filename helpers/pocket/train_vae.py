"""Trains the autoencoder of the pocket base."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from helpers.pocket.checkpoint import load_state, save_state
from helpers.tuning.precision import CPU, in_half

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from helpers.pocket.world.dataset import World


def cosine(step: int, total: int, peak: float, warmup: int = 100) -> float:
    """Learning rate at ``step``: a linear start, then half a cosine down to a twentieth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, total - warmup)
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(share, 1))))


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def _batch(
    world: World, photos: list[np.ndarray], rng: np.random.Generator, count: int, share: float
) -> torch.Tensor:
    size, from_photos = world.pictures.shape[1], max(1, round(count * share)) if photos else 0
    drawn = world.pictures[rng.integers(0, len(world), count - from_photos)]
    crops = []
    for _ in range(from_photos):
        photo = photos[int(rng.integers(len(photos)))]
        top = int(rng.integers(photo.shape[0] - size + 1))
        left = int(rng.integers(photo.shape[1] - size + 1))
        crop = photo[top : top + size, left : left + size]
        crops.append(crop[:, :: int(rng.choice((-1, 1))), rng.permutation(3)])
    pictures = np.concatenate([drawn, np.stack(crops)]) if crops else drawn
    return to_tensor(np.ascontiguousarray(pictures))


def _crop(pictures: torch.Tensor, side: int, rng: np.random.Generator) -> torch.Tensor:
    """Crops of ``side``²: the network is convolutional, so details can be learned on a quarter."""
    places = rng.integers(0, pictures.shape[-1] - side + 1, (len(pictures), 2))
    return torch.stack([
        picture[:, top : top + side, left : left + side]
        for picture, (top, left) in zip(pictures, places, strict=True)
    ])  # fmt: skip


def _edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruction_loss(
    made: torch.Tensor, real: torch.Tensor, squared: float = 0.0
) -> torch.Tensor:
    """L1 on pixels plus L1 on the picture's gradients, which keeps thin lines; and ``squared``
    times the mean square, which large errors feel most."""
    loss = F.l1_loss(made, real)
    if squared:
        loss = loss + squared * F.mse_loss(made, real)
    for ours, theirs in zip(_edges(made), _edges(real), strict=True):
        loss = loss + 0.5 * F.l1_loss(ours, theirs)
    return loss


def train_vae(
    vae: AutoencoderKL,
    world: World,
    photos: list[np.ndarray],
    *,
    steps: int,
    checkpoint: Path,
    batch: int = 16,
    rate: float = 1.5e-3,
    share: float = 1 / 8,
    squared: float = 0.0,
    decoder_only: bool = False,
    seed: int = 0,
    save_every: int = 250,
) -> Iterator[tuple[int, float]]:
    """Yield ``(step, loss)``; resumes from ``checkpoint`` and writes it as it goes.

    ``share`` of a batch are crops of ``photos``; ``squared`` weighs the mean square error.
    ``decoder_only`` leaves the encoder, and so all latents, as they are.
    """
    vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    outside = ("encoder.", "quant_conv.") if decoder_only else ()
    weights = [weight for name, weight in vae.named_parameters() if not name.startswith(outside)]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=1e-4, betas=(0.9, 0.98))
    start = load_state(checkpoint, modules={"vae": vae}, optimizer=optimizer)
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(hash((seed, step)) % 2**31)
        real = _batch(world, photos, rng, batch, share)
        if step < steps * 0.75:
            real = _crop(real, real.shape[-1] // 2, rng)
        else:
            real = real[: batch // 2]
        real = real.contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, steps, rate)
        with in_half(CPU):
            with torch.set_grad_enabled(not decoder_only):
                posterior = vae.encode(real).latent_dist  # type: ignore[union-attr]
            made = vae.decode(posterior.sample()).sample  # type: ignore[union-attr]
        loss = reconstruction_loss(made.float(), real, squared)
        # Per pixel, as latents of unit scale are what the U-Net wants.
        penalty = 1e-6 * posterior.kl().float().mean()
        optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_state(checkpoint, step=step + 1, modules={"vae": vae}, optimizer=optimizer)
        yield step + 1, loss.item()


@torch.no_grad()
def encode_world(vae: AutoencoderKL, world: World, batch: int = 128) -> torch.Tensor:
    """Means and log-variances of every picture, (N, 2C, h, w) in half precision."""
    parts = []
    for start in range(0, len(world), batch):
        pictures = to_tensor(np.ascontiguousarray(world.pictures[start : start + batch]))
        parts.append(vae.encode(pictures).latent_dist.parameters.half())  # type: ignore[union-attr]
    return torch.cat(parts).contiguous()
