"""Four ideas for the training, each as little code as it takes.

    Distilled    the class is held to what the base says of it, not to the noise itself
    Masked       where the subject is counts more than what is behind it
    MinSnr       steps of little noise count less
    Averaged     the adapter that is kept is a moving average of the weights

Three are objectives of ``helpers.tuning.loop.train``; the average is taken by whoever asks for the
steps. None is in the trainer: ``python3 course.py bench ideas`` says what each is worth. In a batch
the subject's rows come first, then as many of its class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d, mse_loss

from helpers.tuning.batches import Batch
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.diffusion import prediction_errors, predictions, target_of
from helpers.tuning.loop import Step
from helpers.tuning.networks import Networks
from helpers.tuning.precision import Precision
from helpers.tuning.subjects import crops_of, put_aside
from helpers.tuning.weighting import min_snr

NOISES = 16
"""Questions about each class image, the same in every pass through them."""
BEHIND = 0.1
"""What the background counts beside the subject (OneTrainer's default)."""
DECAY = 0.99
"""Of the moving average: about the last hundred steps count."""


class Distilled:
    """The class term asks for the base's own prediction.

    Noise says what was added to one picture; the base's prediction is what it would answer, the
    same with less variance, and zero loss where nothing has changed. Each class image has
    ``noises`` fixed questions (latent, noise, time). An answer is computed when it is first asked
    for and kept: it depends on base, class and seed alone, so that jobs could share it as they do
    class images. ``bare`` are networks of the base that nobody trains.
    """

    def __init__(self, bare: Networks, noises: int = NOISES) -> None:
        self._bare, self._noises = bare, noises
        self._known: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}

    def __call__(
        self, networks: Networks, precision: Precision, batch: Batch, text: torch.Tensor
    ) -> torch.Tensor:
        half = len(batch.latents) // 2
        latents, noise, times, answers = self._asked(precision, batch, text, half)
        mixed = replace(
            batch,
            latents=torch.cat([batch.latents[:half], latents]),
            noise=torch.cat([batch.noise[:half], noise]),
            times=torch.cat([batch.times[:half], times]),
        )
        parts = mixed.latents, mixed.noise, mixed.times
        target = torch.cat([target_of(networks.noise, *parts)[:half].float(), answers])
        predicted = predictions(networks, precision, *parts, text)
        return mse_loss(predicted, target, reduction="none").mean(dim=(1, 2, 3))

    def _asked(
        self, precision: Precision, batch: Batch, text: torch.Tensor, half: int
    ) -> list[torch.Tensor]:
        """Latents, noise, times and the base's answers for the class rows of a batch.

        The time that the batch drew says which of a picture's questions is asked.
        """
        rows = range(half, len(batch.latents))
        keys = [(batch.places[row], int(batch.times[row]) % self._noises) for row in rows]
        new = [row for row, key in zip(rows, keys, strict=True) if key not in self._known]
        if new:
            parts = batch.latents[new], batch.noise[new], batch.times[new]
            with torch.no_grad():
                answers = predictions(self._bare, precision, *parts, text[new])
            for place, row in enumerate(new):
                self._known[keys[row - half]] = (*(part[place] for part in parts), answers[place])
        found = [self._known[key] for key in keys]
        return [torch.stack(column) for column in zip(*found, strict=True)]


class Masked:
    """The subject's own loss counts where the subject is, ``BEHIND`` of it elsewhere.

    ``masks`` belong to the photos of the job, white where the subject is; they are cut as the
    photos are. Weights of a picture average one, so that subject and class stay in balance.
    """

    def __init__(self, networks: Networks, config: FineTuneConfig, masks: Sequence[Image.Image]):
        kept, _ = put_aside(config, masks)
        cut = crops_of(kept, config.resolution, config.crops, config.seed)
        white = torch.stack([torch.from_numpy(np.array(one.convert("L"))) for one in cut])
        side = networks.unet.config.sample_size
        # A latent sees past its own pixels: what touches the subject belongs to it.
        near = max_pool2d(adaptive_avg_pool2d(white[:, None] / 255, side), 3, stride=1, padding=1)
        weights = BEHIND + (1 - BEHIND) * near
        mean = weights.mean(dim=(1, 2, 3), keepdim=True)
        self.weights = (weights / mean).to(networks.device)

    def __call__(
        self, networks: Networks, precision: Precision, batch: Batch, text: torch.Tensor
    ) -> torch.Tensor:
        half = len(batch.latents) // 2
        parts = batch.latents, batch.noise, batch.times
        target = target_of(networks.noise, *parts).float()
        predicted = predictions(networks, precision, *parts, text)
        errors = mse_loss(predicted, target, reduction="none")
        own = errors[:half] * self.weights[batch.places[:half]]
        return torch.cat([own, errors[half:]]).mean(dim=(1, 2, 3))


class MinSnr:
    """Each row counts by its noise: ``min_snr``, in the place of ``loss_weighting``.

    The class rows as well: scripts that weigh the subject's alone leave the class term by far the
    stronger one.
    """

    def __init__(self, networks: Networks) -> None:
        kept = networks.noise.alphas_cumprod
        of_noise = networks.noise.config.prediction_type != "v_prediction"
        self.weights = (min_snr(kept) * (1 if of_noise else kept)).to(networks.device)

    def __call__(
        self, networks: Networks, precision: Precision, batch: Batch, text: torch.Tensor
    ) -> torch.Tensor:
        parts = batch.latents, batch.noise, batch.times
        return prediction_errors(networks, precision, *parts, text) * self.weights[batch.times]


class Averaged:
    """A moving average of everything that is trained, and a copy of it from the step that a trainer
    with patience keeps: the one of the lowest held-out loss or, with nothing held out, the last."""

    def __init__(self, networks: Networks, decay: float = DECAY) -> None:
        self._networks, self._decay = networks, decay
        self._mean: list[torch.Tensor] = []
        self._best, self._lowest = [], math.inf

    @torch.no_grad()
    def take(self, step: Step) -> None:
        """Look at the weights after ``step``. Early ones count less: the average begins at once."""
        weights = self._trained()
        if not self._mean:
            self._mean = [one.detach().clone() for one in weights]
        decay = min(self._decay, step.step / (step.step + 9))
        torch._foreach_lerp_(self._mean, weights, 1 - decay)
        if step.held_out_loss is not None and step.held_out_loss < self._lowest:
            self._lowest = step.held_out_loss
            self._best = [one.clone() for one in self._mean]

    @torch.no_grad()
    def put(self) -> None:
        """Give the networks the average; to be called when the steps have ended."""
        for one, mean in zip(self._trained(), self._best or self._mean, strict=True):
            one.copy_(mean)

    def _trained(self) -> list[torch.Tensor]:
        networks = (self._networks.unet, self._networks.text_encoder)
        return [one for network in networks for one in network.parameters() if one.requires_grad]
