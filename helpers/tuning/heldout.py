"""Knowing when to stop: the loss on photos that were put aside, always on the same questions.

A training step's loss says mostly which noise levels it happened to draw. Here levels and noise
are fixed, so two measurements differ only by what was learned between them: it falls while the
subject is learned and rises once the photos are learned by heart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image

from helpers.tuning.batches import PromptEmbedder
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.diffusion import prediction_errors
from helpers.tuning.networks import Networks, encode_pictures
from helpers.tuning.precision import Precision
from helpers.tuning.weighting import loss_weights

LEVELS = 8
"""Noise levels for each photo, in the middle of as many equal parts of the schedule."""
_SEED = 20_230_801
_ROWS = 8


class HeldOut:
    """The grid of a job: each photo put aside, at each level, with noise of its own.

    ``photos`` come with the number of their prompt in ``embed``. Without photos it is false.
    """

    def __init__(
        self,
        networks: Networks,
        precision: Precision,
        embed: PromptEmbedder,
        photos: Sequence[tuple[Image.Image, int]],
        config: FineTuneConfig,
    ) -> None:
        self._networks, self._precision, self._embed = networks, precision, embed
        self._prompts = [number for _, number in photos for _ in range(LEVELS)]
        if not photos:
            return
        # The mean, without the encoder's spread: one noise fewer.
        encoded = encode_pictures(networks, [image for image, _ in photos], config.resolution)
        self._latents = encoded.mean.repeat_interleave(LEVELS, dim=0)
        generator = torch.Generator().manual_seed(_SEED)
        shape, device = self._latents.shape, networks.device
        self._noise = torch.randn(shape, generator=generator).to(device)
        levels = networks.noise.config.num_train_timesteps
        grid = [(2 * place + 1) * levels // (2 * LEVELS) for place in range(LEVELS)]
        self._times = torch.tensor(grid * len(photos)).to(device)
        self._weights = loss_weights(networks.noise, config.loss_weighting).to(device)

    def __bool__(self) -> bool:
        return bool(self._prompts)

    @torch.no_grad()
    def loss(self) -> float:
        """The mean error over the grid, weighted as the training's, with dropout off. The same
        adapter gives the same number."""
        trained = [
            network
            for network in (self._networks.unet, self._networks.text_encoder)
            if network.training
        ]
        for network in trained:
            network.eval()
        errors = []
        for start in range(0, len(self._prompts), _ROWS):
            rows = slice(start, start + _ROWS)
            with self._precision.autocast():
                text = self._embed(self._prompts[rows])
            times = self._times[rows]
            found = prediction_errors(
                self._networks,
                self._precision,
                self._latents[rows],
                self._noise[rows],
                times,
                text,
            )
            errors.append(found * self._weights[times])
        for network in trained:
            network.train()
        return torch.cat(errors).mean().item()


def may_be_best(step: int, total: int) -> bool:
    """Whether an adapter after ``step`` of ``total`` steps may be the best: from half of them on.

    While the rate is high likeness still grows, though the loss rises with the size of the steps.
    """
    return 2 * step >= total


@dataclass(kw_only=True)
class Best:
    """The weights with the lowest held-out loss so far. ``step`` counts from 1; 0: none yet."""

    loss: float = math.inf
    step: int = 0
    weights: list[torch.Tensor] = field(default_factory=list)

    def offer(self, loss: float, step: int, parameters: Sequence[torch.Tensor]) -> None:
        """Keep a copy of ``parameters`` if they are the best so far."""
        if loss < self.loss:
            self.loss, self.step = loss, step
            self.weights = [one.detach().to("cpu", copy=True) for one in parameters]

    def is_stale(self, steps: int, config: FineTuneConfig) -> bool:
        """Whether, after so many steps, ``patience`` measurements have brought nothing better."""
        waited = (steps - self.step) // config.heldout_every
        return bool(config.patience and self.step) and waited >= config.patience

    @torch.no_grad()
    def restore(self, parameters: Sequence[torch.Tensor]) -> None:
        """Give ``parameters`` the best values."""
        for one, kept in zip(parameters, self.weights, strict=bool(self.weights)):
            one.copy_(kept)
