"""The training loop: DreamBooth, with low-rank adapters or in full, as a generator of steps.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from PIL import Image

from helpers.errors import TrainingError
from helpers.tuning.batches import Batch, Batches, dropout_from
from helpers.tuning.checkpoint import (
    Checkpoints,
    State,
    job_identity,
    restore_state,
    save_state,
)
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.diffusion import prediction_errors
from helpers.tuning.heldout import Best, HeldOut, may_be_best
from helpers.tuning.lora import training_mode
from helpers.tuning.networks import Networks
from helpers.tuning.precision import (
    Precision,
    choose_precision,
    make_optimizer,
    memory_explained,
)
from helpers.tuning.subjects import Subject, all_subjects, put_aside
from helpers.tuning.trainable import make_trainable

Objective = Callable[[Networks, Precision, Batch, torch.Tensor], torch.Tensor]
"""What is asked of a batch with its prompts as embeddings: one error a row, ``(rows,)``."""


def dreambooth(
    networks: Networks, precision: Precision, batch: Batch, text: torch.Tensor
) -> torch.Tensor:
    """The objective of DreamBooth: say the noise (or v), of the subject and of its class alike."""
    return prediction_errors(networks, precision, batch.latents, batch.noise, batch.times, text)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimizer step, counted from 1. ``seconds`` since the loop began.

    ``loss`` is ``instance_loss`` plus the weighted ``prior_loss``: mean squared errors of the
    U-Net's prediction, about 1 for one that knows nothing. A single step's loss depends mostly
    on the noise level it happened to draw; look at averages, or at ``held_out_loss``, which is
    measured after some steps only and always on the same noise.
    """

    step: int
    total: int
    loss: float
    instance_loss: float
    prior_loss: float | None
    learning_rate: float
    seconds: float
    held_out_loss: float | None = None


def train(
    networks: Networks,
    config: FineTuneConfig,
    images: Sequence[Image.Image],
    class_images: Sequence[Image.Image] = (),
    *,
    others: Sequence[Subject] = (),
    checkpoints: Checkpoints | None = None,
    deadline: float | None = None,
    objective: Objective = dreambooth,
) -> Iterator[Step]:
    """Train ``networks`` on a subject, one optimizer step per item.

    ``images`` show the subject, ``class_images`` others of its class; both are cut to squares of
    ``config.resolution``. ``others`` are learned together with it. ``deadline`` is a time of
    ``time.monotonic``. With ``checkpoints``, a training that was killed goes on where it was, and
    tells again first of the steps that it had done. When the iteration ends, the networks carry
    the last weights or, with ``config.patience``, the best. Another ``objective`` trains on another
    loss; checkpoints do not know which, so keep those of each apart.

    Raises ``TrainingError`` without pictures, after the deadline, when the loss is no longer a
    number, and when memory runs out; ``ConfigError`` for subjects that cannot be told apart.
    """
    subjects = all_subjects(config, images, class_images, others)
    total = config.steps_for(len(images))
    split = [put_aside(config, subject.images) for subject in subjects]
    with memory_explained(config):
        groups = make_trainable(networks, config, subjects)
        batches = Batches(
            networks,
            config,
            [replace(one, images=kept) for one, (kept, _) in zip(subjects, split, strict=True)],
        )
        precision = choose_precision(config, networks.device)
        aside = [(image, number) for number, (_, held) in enumerate(split) for image in held]
        held_out = HeldOut(networks, precision, batches.embed, aside, config)
    rates = [group["lr"] for group in groups]
    state = State(
        parameters=[parameter for group in groups for parameter in group["params"]],
        optimizer=make_optimizer(config, networks.device, groups),
        scaler=precision.scaler,
        best=Best(),
    )
    job = ""
    if checkpoints:
        job = job_identity(config, networks.base_hash, subjects)
        restore_state(state, checkpoints, job)
        for known in state.history:
            yield Step(**known)
    began = time.monotonic() - (state.history[-1]["seconds"] if state.history else 0.0)
    with training_mode(networks, config):
        for number in range(len(state.history), total):
            if state.best.is_stale(number, config):
                break
            if deadline is not None and time.monotonic() > deadline:
                raise TrainingError(
                    f"The training was stopped after {number} of {total} steps",
                    "Its time ran out",
                    "Ask for fewer steps, or give the job more time",
                )
            factor = rate_factor(config, number, total)
            for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            with memory_explained(config):
                losses = _descend(networks, config, precision, batches, state, number, objective)
                held_out_loss = None
                if held_out and ((number + 1) % config.heldout_every == 0 or number + 1 == total):
                    held_out_loss = held_out.loss()
                    if may_be_best(number + 1, total):
                        state.best.offer(held_out_loss, number + 1, state.parameters)
            step = Step(
                step=number + 1,
                total=total,
                loss=losses[0] + (config.prior_loss_weight * losses[1] if losses[1:] else 0.0),
                instance_loss=losses[0],
                prior_loss=losses[1] if losses[1:] else None,
                learning_rate=config.learning_rate * factor,
                seconds=time.monotonic() - began,
                held_out_loss=held_out_loss,
            )
            state.history.append(asdict(step))
            if checkpoints and (step.step % checkpoints.every == 0 or step.step == total):
                save_state(state, checkpoints, job)
            yield step
    if config.patience and state.best.step:
        state.best.restore(state.parameters)


def _descend(
    networks: Networks,
    config: FineTuneConfig,
    precision: Precision,
    batches: Batches,
    state: State,
    number: int,
    objective: Objective,
) -> list[float]:
    """One optimizer step; returns its loss on the subject and, if there is a prior, on that."""
    losses = torch.zeros(len(batches))
    for part in range(config.gradient_accumulation):
        draw = number * config.gradient_accumulation + part
        found = batch_losses(networks, config, precision, batches, draw, objective)
        total = found[0] + (config.prior_loss_weight * found[1] if len(found) > 1 else 0.0)
        precision.scaler.scale(total / config.gradient_accumulation).backward()
        losses += found.detach().cpu() / config.gradient_accumulation
    if not losses.isfinite().all():
        rate = state.optimizer.param_groups[0]["lr"]
        raise TrainingError(
            f"The loss is no longer a number at step {number + 1}",
            f"The training diverged at a learning rate of {rate:g}",
            "Use a smaller learning_rate or lora_alpha",
        )
    precision.scaler.unscale_(state.optimizer)
    torch.nn.utils.clip_grad_norm_(state.parameters, config.max_grad_norm)
    precision.scaler.step(state.optimizer)
    precision.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    return losses.tolist()


def batch_losses(
    networks: Networks,
    config: FineTuneConfig,
    precision: Precision,
    batches: Batches,
    draw: int,
    objective: Objective = dreambooth,
) -> torch.Tensor:
    """Loss on batch ``draw`` of the subject and on one of its class, from one pass of the U-Net:
    shape ``(1,)`` or, with a prior, ``(2,)``."""
    batch = batches.draw(draw)
    with dropout_from((config.seed << 24) + draw, networks.device):
        with precision.autocast():
            text = batches.embed(batch.prompts)
        errors = objective(networks, precision, batch, text) * batch.weights
    return errors.view(len(batches), config.batch_size).mean(dim=1)


def rate_factor(config: FineTuneConfig, number: int, total: int) -> float:
    """What step ``number`` (from 0) of ``total`` takes of the rate.

    It rises over the share ``lr_warmup`` of the steps, then stays or falls, along a line or half a
    cosine, to a tenth.
    """
    warm = int(config.lr_warmup * total)
    if number < warm:
        return (number + 1) / (warm + 1)
    if config.lr_scheduler == "constant":
        return 1.0
    gone = (number - warm) / (total - warm)
    left = 1 - gone if config.lr_scheduler == "linear" else (1 + math.cos(math.pi * gone)) / 2
    return 0.1 + 0.9 * left
