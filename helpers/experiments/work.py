"""Doing one cell: train, and paint at every mark on the way."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments.store import CellResult, Draft, Snapshot, Store
from helpers.experiments.sweep import Cell, Lesson
from helpers.hosting.generate import quiet
from helpers.photos.load import load_photo
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import Step, train
from helpers.tuning.lora import detach_lora
from helpers.tuning.networks import Networks, default_device, load_networks
from helpers.tuning.painting import BATCH, paint_batch, painting_pipeline
from helpers.tuning.precision import choose_precision
from helpers.tuning.priors import class_images


def run_cell(cell: Cell, folder: Path) -> CellResult:
    """The cell's result in the store of that folder: found there, or made and put there.

    Raises ``BaseModelError``, ``ConfigError`` or ``TrainingError`` as a training does.
    """
    store = Store(folder=folder)
    if found := store.find(cell):
        return found
    with store.writing(cell) as draft:
        _make(cell, draft, store.class_images)
    found = store.find(cell)
    if found is None:
        raise ExperimentError(
            "a finished cell cannot be read back", "its folder was changed", "run the sweep again"
        )
    return found


def _make(cell: Cell, draft: Draft, class_folder: Path) -> None:
    seconds = {"training": 0.0, "painting": 0.0}
    device = default_device()
    settings = cell.lessons[0].config if cell.lessons else FineTuneConfig.for_base(cell.base)
    precision = choose_precision(settings, device)
    networks = load_networks(cell.base, device=device, dtype=precision.weights)

    def paint(snapshot: Snapshot) -> None:
        began = time.monotonic()
        with precision.autocast():
            draft.add(snapshot, _paint(networks, cell))
        seconds["painting"] += time.monotonic() - began

    if not cell.lessons:
        paint(Snapshot(lesson=0, step=0))
    for number, lesson in enumerate(cell.lessons):
        if number:
            absorb_adapter(networks)
        began, painted = time.monotonic(), seconds["painting"]
        since: list[Step] = []
        for step in _train(networks, cell, lesson, class_folder):
            since.append(step)
            if step.step in lesson.marks:
                paint(_snapshot(number, since))
                since = []
        spent = time.monotonic() - began
        seconds["training"] += spent - (seconds["painting"] - painted)
    machine = {
        "device": device.type,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "diffusers", "transformers", "peft")},
    }
    draft.finish(seconds, machine)


def _train(networks: Networks, cell: Cell, lesson: Lesson, class_folder: Path) -> Iterator[Step]:
    images = [load_photo(path).image for path in lesson.pictures]
    kept: list[Image.Image] = []
    if lesson.config.with_prior_preservation:
        # The bare base's, also for a later lesson: the class as it was before any of them.
        bare = networks if lesson is cell.lessons[0] else load_networks(
            cell.base, device=networks.device, dtype=networks.dtype
        )  # fmt: skip
        kept = class_images(bare, lesson.config, cell.base, folder=class_folder)
    return train(networks, lesson.config, images, kept)


def _snapshot(lesson: int, since: list[Step]) -> Snapshot:
    priors = [step.prior_loss for step in since if step.prior_loss is not None]
    heldout = [step.held_out_loss for step in since if step.held_out_loss is not None]
    return Snapshot(
        lesson=lesson,
        step=since[-1].step,
        instance_loss=round(fmean(step.instance_loss for step in since), 6),
        prior_loss=round(fmean(priors), 6) if priors else None,
        held_out_loss=round(heldout[-1], 6) if heldout else None,
    )


def _paint(networks: Networks, cell: Cell) -> list[list[Image.Image]]:
    sampling = cell.sampling
    noises = range(sampling.noise, sampling.noise + cell.pictures)
    rows = []
    with _at_rest(networks), quiet():
        pipe = painting_pipeline(networks)
        for prompt in cell.prompts:
            row: list[Image.Image] = []
            for start in range(0, cell.pictures, BATCH):
                row += paint_batch(
                    pipe,
                    prompt,
                    noises[start : start + BATCH],
                    side=sampling.side,
                    steps=sampling.steps,
                    guidance=sampling.guidance,
                )
            rows.append(row)
    return rows


@contextmanager
def _at_rest(networks: Networks) -> Iterator[None]:
    """Between two steps of a training its networks drop values at random; a painter must not."""
    parts = [networks.unet, networks.text_encoder]
    modes = [part.training for part in parts]
    for part in parts:
        part.eval()
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.train(mode)


def absorb_adapter(networks: Networks) -> None:
    """Fold the adapter into the weights for good, so that another can be trained on top of it.

    What JumpStart's users do who fine-tune a fine-tuned model. Networks without an adapter, such as
    those fine-tuned in full, stay as they are.
    """
    for part in (networks.unet, networks.text_encoder):
        for layer in part.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.merge()
    detach_lora(networks)
