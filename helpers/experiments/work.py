"""Doing one cell: train, and paint at every mark on the way."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
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
from helpers.experiments.worn import Worn
from helpers.hosting.generate import quiet
from helpers.photos.load import load_photo
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import Step, train
from helpers.tuning.lora import detach_lora
from helpers.tuning.networks import Networks, default_device, load_networks
from helpers.tuning.painting import BATCH, paint_batch, painting_pipeline
from helpers.tuning.precision import choose_precision
from helpers.tuning.priors import class_images
from helpers.tuning.subjects import Subject

Painter = Callable[[Networks, Sequence[int]], list[list[Image.Image]]]


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


class _Clock:
    """Seconds of training and of painting."""

    def __init__(self) -> None:
        self.seconds = {"training": 0.0, "painting": 0.0}

    @contextmanager
    def spent_on(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[what] += time.monotonic() - began

    def next(self, steps: Iterator[Step]) -> Step | None:
        """The next step of a training, timed; ``None`` after the last."""
        with self.spent_on("training"):
            return next(steps, None)


def _make(cell: Cell, draft: Draft, class_folder: Path) -> None:
    clock, device = _Clock(), default_device()
    settings = cell.lessons[0].config if cell.lessons else FineTuneConfig.for_base(cell.base)
    # Differences from the base count, so that it is painted as precisely as all others.
    precision = choose_precision(settings.replace(fp16=cell.sampling.fp16), device)

    def fresh() -> Networks:
        return load_networks(cell.base, device=device, dtype=precision.weights)

    def paint(networks: Networks, places: Sequence[int]) -> list[list[Image.Image]]:
        with clock.spent_on("painting"), precision.autocast():
            return _paint(networks, cell, places)

    teach = _in_adapters if cell.speakers else _in_sequence
    for snapshot, pictures in teach(cell, class_folder, fresh, paint, clock):
        draft.add(snapshot, pictures)
    draft.finish(
        clock.seconds,
        {
            "device": device.type,
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "diffusers", "transformers", "peft")},
        },
    )


def _in_sequence(
    cell: Cell, class_folder: Path, fresh: Callable[[], Networks], paint: Painter, clock: _Clock
) -> Iterator[tuple[Snapshot, list[list[Image.Image]]]]:
    """One model; each lesson begins with what the one before left."""
    networks, everything = fresh(), range(len(cell.prompts))
    if not cell.lessons:
        yield Snapshot(lesson=0, step=0), paint(networks, everything)
    for number, lesson in enumerate(cell.lessons):
        if number:
            absorb_adapter(networks)
        since: list[Step] = []
        steps = _train(networks, cell, lesson, class_folder)
        while step := clock.next(steps):
            since.append(step)
            if step.step in lesson.marks:
                yield _snapshot(number, since), paint(networks, everything)
                since = []


def _in_adapters(
    cell: Cell, class_folder: Path, fresh: Callable[[], Networks], paint: Painter, clock: _Clock
) -> Iterator[tuple[Snapshot, list[list[Image.Image]]]]:
    """Every lesson begins with the base and leaves an adapter; one base wears them in turns."""
    host, snapshot = fresh(), None
    worn: list[Worn] = []
    for number, lesson in enumerate(cell.lessons):
        networks = fresh()
        since: list[Step] = []
        steps = _train(networks, cell, lesson, class_folder)
        while step := clock.next(steps):
            since.append(step)
        worn.append(Worn.off(networks, lesson.config))
        speaking = [min(speaker, number) for speaker in cell.speakers]
        rows: dict[int, list[Image.Image]] = {}
        for speaker in sorted(set(speaking)):
            places = [place for place, one in enumerate(speaking) if one == speaker]
            with worn[speaker].on(host):
                rows |= zip(places, paint(host, places), strict=True)
        snapshot = _snapshot(number, since)
        yield snapshot, [rows[place] for place in range(len(speaking))]
    if snapshot:
        with Worn.combined(worn).on(host):
            pictures = paint(host, range(len(cell.prompts)))
        yield Snapshot(lesson=len(worn), step=snapshot.step), pictures


def _train(networks: Networks, cell: Cell, lesson: Lesson, class_folder: Path) -> Iterator[Step]:
    images = [load_photo(path).image for path in lesson.pictures]
    kept: dict[str, list[Image.Image]] = {}
    if lesson.config.with_prior_preservation:
        # The bare base's, also for a later lesson: the class as it was before any of them.
        bare = networks if lesson is cell.lessons[0] else load_networks(
            cell.base, device=networks.device, dtype=networks.dtype
        )  # fmt: skip
        for words in [lesson.config.class_prompt, *(one.class_prompt for one in lesson.others)]:
            config = lesson.config.replace(class_prompt=words)
            kept[words] = class_images(bare, config, cell.base, folder=class_folder)
    others = [
        Subject(
            images=[load_photo(path).image for path in one.pictures],
            concept_prompt=one.instance_prompt,
            class_prompt=one.class_prompt,
            class_images=kept.get(one.class_prompt, ()),
        )
        for one in lesson.others
    ]
    class_pictures = kept.get(lesson.config.class_prompt, ())
    return train(networks, lesson.config, images, class_pictures, others=others)


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


def _paint(networks: Networks, cell: Cell, places: Sequence[int]) -> list[list[Image.Image]]:
    sampling = cell.sampling
    noises = range(sampling.noise, sampling.noise + cell.pictures)
    rows = []
    with _at_rest(networks), quiet():
        pipe = painting_pipeline(networks)
        for prompt in (cell.prompts[place] for place in places):
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
