"""How much an error counts by the noise in which it was made.

The loss of DreamBooth is even: a step of little noise counts as one of much. A small base that
predicts noise learns no colours from it. They are a faint tint of the whole, hidden by the heaviest
noise alone, and there its errors are a hundredth of what they are elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch

from helpers.tuning.presets import EVEN

CAP = 5.0
"""The gamma of min-SNR."""
MOST = 40.0
"""What the heaviest noise counts at most where noise is predicted; the plain rule would have it
count thousands."""


def min_snr(alphas_cumprod: torch.Tensor, cap: float = CAP) -> torch.Tensor:
    """min(SNR, ``cap``) / SNR of each timestep, for errors of predicted noise (Hang et al. 2023,
    arXiv 2303.09556)."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return torch.where(snr > cap, cap / snr, 1.0)


def as_v(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """``min_snr`` times 1 + 1/SNR, at most ``MOST``: errors of predicted noise count what they
    would if v were predicted (Salimans and Ho 2022, arXiv 2202.00512, appendix D)."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return min_snr(alphas_cumprod) * (1 + 1 / snr).clamp(max=MOST)


def loss_weights(schedule: Any, weighting: str) -> torch.Tensor:
    """The weight of each timestep of a base's ``schedule``: shape ``(timesteps,)``, mean 1.

    ``v`` means the same for every base, but for the heaviest noise: where v itself is predicted it
    needs no bound, and a schedule may end in noise alone.
    """
    kept = schedule.alphas_cumprod
    if weighting == EVEN:
        return torch.ones_like(kept)
    of_v = schedule.config.prediction_type == "v_prediction"
    weights = min_snr(kept) if of_v else as_v(kept)
    return weights / weights.mean()
