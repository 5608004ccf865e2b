"""The diffusion objective: what the U-Net is asked to say about a noisy latent."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import mse_loss

from helpers.tuning.networks import Networks
from helpers.tuning.precision import Precision


def target_of(
    schedule: Any, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
) -> torch.Tensor:
    """What a perfect U-Net answers, as the base's schedule says.

    With ``a`` the schedule's cumulative product at ``times``, the noisy latent is
    ``sqrt(a) x + sqrt(1 - a) e``. A base that predicts epsilon answers ``e``; one that predicts v
    answers ``sqrt(a) e - sqrt(1 - a) x`` (Salimans and Ho 2022, arXiv 2202.00512, appendix D).
    """
    if schedule.config.prediction_type == "v_prediction":
        return schedule.get_velocity(latents, noise, times)
    return noise


def predictions(
    networks: Networks,
    precision: Precision,
    latents: torch.Tensor,
    noise: torch.Tensor,
    times: torch.Tensor,
    text: torch.Tensor,
) -> torch.Tensor:
    """The U-Net's answer for each row, in single precision and of the latents' shape. ``noise`` has
    that shape too, ``text`` is ``(rows, window, width)``."""
    noisy = networks.noise.add_noise(latents, noise, times)
    with precision.autocast():
        return networks.unet(noisy.to(networks.dtype), times, text).sample.float()


def prediction_errors(
    networks: Networks,
    precision: Precision,
    latents: torch.Tensor,
    noise: torch.Tensor,
    times: torch.Tensor,
    text: torch.Tensor,
) -> torch.Tensor:
    """Mean squared error of ``predictions`` for each row: shape ``(rows,)``, about 1 for a network
    that knows nothing."""
    predicted = predictions(networks, precision, latents, noise, times, text)
    target = target_of(networks.noise, latents, noise, times).float()
    return mse_loss(predicted, target, reduction="none").mean(dim=(1, 2, 3))
