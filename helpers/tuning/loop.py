"""The training loop: DreamBooth with low-rank adapters, as a generator of steps.

    networks = load_networks(base)
    for step in train(networks, config, photos, class_pictures):
        print(step.step, step.loss)

Nothing happens between two steps that the caller did not ask for, so a notebook can plot, sample
or stop. Step n depends on the seed and on what came before, never on what the caller drew from
torch's random numbers in between; the same seed gives the same adapter, bit for bit, on the same
versions and number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch.nn.functional import mse_loss

from helpers.errors import TrainingError
from helpers.tuning.batches import PromptEmbedder, dropout_from, pick
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.lora import attach_lora, training_mode
from helpers.tuning.networks import Moments, Networks, encode_pictures
from helpers.tuning.precision import Precision, choose_precision, make_optimizer

LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimizer step, counted from 1. ``seconds`` since the loop began.

    ``loss`` is ``instance_loss`` plus the weighted ``prior_loss``: mean squared errors of the
    U-Net's prediction, about 1 for one that knows nothing. A single step's loss depends mostly
    on the noise level it happened to draw; look at averages.
    """

    step: int
    total: int
    loss: float
    instance_loss: float
    prior_loss: float | None
    learning_rate: float
    seconds: float


def train(
    networks: Networks,
    config: FineTuneConfig,
    images: Sequence[Image.Image],
    class_images: Sequence[Image.Image] = (),
    *,
    deadline: float | None = None,
) -> Iterator[Step]:
    """Attach a fresh adapter to ``networks`` and train it, one optimizer step per item.

    ``images`` show the subject, ``class_images`` others of its class; both are cut to squares of
    ``config.resolution``. ``deadline`` is a time of ``time.monotonic``.

    Raises ``TrainingError`` without pictures, after the deadline, and when the loss is no longer
    a number.
    """
    if not images:
        raise TrainingError("There is nothing to learn from", "No instance image was given")
    if config.with_prior_preservation and not class_images:
        raise TrainingError(
            "Prior preservation needs class images",
            "None were given",
            "Generate them, or set with_prior_preservation to false",
        )
    subject = encode_pictures(networks, list(images), config.resolution)
    prior = None
    if config.with_prior_preservation:
        prior = encode_pictures(networks, list(class_images), config.resolution)
    embed = PromptEmbedder(networks, config)
    parameters = attach_lora(networks, config)
    precision = choose_precision(config, networks.device)
    optimizer = make_optimizer(config, networks.device, parameters)
    began = time.monotonic()
    with training_mode(networks, config):
        for number in range(config.n_steps):
            if deadline is not None and time.monotonic() > deadline:
                raise TrainingError(
                    f"The training was stopped after {number} of {config.n_steps} steps",
                    "Its time ran out",
                    "Ask for fewer steps, or give the job more time",
                )
            rate = config.learning_rate * _rate_factor(config, number)
            for group in optimizer.param_groups:
                group["lr"] = rate
            subject_loss = prior_loss = 0.0
            for part in range(config.gradient_accumulation):
                losses = _losses(
                    networks, config, precision, subject, prior, embed,
                    draw=number * config.gradient_accumulation + part,
                )  # fmt: skip
                total = losses[0] + (config.prior_loss_weight * losses[1] if prior else 0.0)
                precision.scaler.scale(total / config.gradient_accumulation).backward()
                subject_loss += losses[0].item() / config.gradient_accumulation
                prior_loss += losses[1].item() / config.gradient_accumulation
            loss = subject_loss + (config.prior_loss_weight * prior_loss if prior else 0.0)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"The loss is no longer a number at step {number + 1}",
                    f"The training diverged at a learning rate of {rate:g}",
                    "Use a smaller learning_rate or lora_alpha",
                )
            precision.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            precision.scaler.step(optimizer)
            precision.scaler.update()
            optimizer.zero_grad(set_to_none=True)
            yield Step(
                step=number + 1,
                total=config.n_steps,
                loss=loss,
                instance_loss=subject_loss,
                prior_loss=prior_loss if prior else None,
                learning_rate=rate,
                seconds=time.monotonic() - began,
            )


def _losses(
    networks: Networks,
    config: FineTuneConfig,
    precision: Precision,
    subject: Moments,
    prior: Moments | None,
    embed: PromptEmbedder,
    *,
    draw: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss on a batch of the subject and on one of its class, from one pass of the U-Net."""
    seed = (config.seed << 24) + draw
    generator = torch.Generator().manual_seed(seed)
    count, device = config.batch_size, networks.device
    batches = [pictures for pictures in (subject, prior) if pictures]
    latents = torch.cat(
        [each.draw(pick(len(each), count, draw, config.seed), generator) for each in batches]
    )
    noise = torch.randn(latents.shape, generator=generator).to(device)
    levels = networks.noise.config.num_train_timesteps
    times = torch.randint(0, levels, (len(latents),), generator=generator).to(device)
    noisy = networks.noise.add_noise(latents, noise, times)
    if networks.noise.config.prediction_type == "v_prediction":
        target = networks.noise.get_velocity(latents, noise, times)
    else:
        target = noise
    with dropout_from(seed, device), precision.autocast():
        text = embed(count)
        predicted = networks.unet(noisy.to(networks.dtype), times, text).sample
    errors = mse_loss(predicted.float(), target.float(), reduction="none").mean(dim=(1, 2, 3))
    per_batch = errors.view(len(batches), count).mean(dim=1)
    return per_batch[0], per_batch[-1]


def _rate_factor(config: FineTuneConfig, number: int) -> float:
    if config.lr_scheduler == "constant":
        return 1.0
    return 0.1 + 0.45 * (1 + math.cos(math.pi * number / config.n_steps))
