"""From the pictures of a sweep to tidy tables: a row a picture, a row a number with interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.bases import file_sha256
from helpers.experiments.controls import held_out_control
from helpers.experiments.intervals import Interval, bootstrap
from helpers.experiments.judges import PocketJudge, Remembering
from helpers.experiments.measured import COSTS, LABEL, PICTURES, SUMMARY, Measured
from helpers.experiments.metrics import (
    agreement,
    attribute_hits,
    drifts,
    identified,
    nearest_gaps,
)
from helpers.experiments.perceptual import diversity_interval, perceptual_distances
from helpers.experiments.similarity import likeness
from helpers.experiments.store import CellResult
from helpers.experiments.sweep import Prompt, Subject, Sweep, Trial
from helpers.experiments.tidy import FRACTION, Tidy
from helpers.photos.load import load_photo

DIGITS = 16
"""Of a picture's SHA-256: enough to know it again."""

_NAMES: Mapping[tuple[str, str], str] = {
    ("likeness", "subject"): "subject_fidelity",
    ("likeness", "class"): "pres",
    ("likeness", "other"): "likeness",
    ("likeness_change", "subject"): "gain",
    ("likeness_change", "class"): "pres_change",
    ("agreement", ""): "prompt_fidelity",
    ("agreement_change", ""): "prompt_fidelity_change",
    ("drift", "class"): "language_drift",
    ("drift", "other"): "language_drift",
    ("nearest_gap", "subject"): "memorisation_gap",
    ("identified", "subject"): "identification_rate",
    ("right", ""): "attribute_accuracy",
}
"""What a column's mean is called, by whom the prompt is about ("" for all)."""


def measure(
    sweep: Sweep, results: Mapping[str, CellResult], judge: PocketJudge, *, store: Path
) -> Measured:
    """Measure every picture of a finished sweep.

    File names are given relative to ``store``. Raises ``ExperimentError`` when a subject's held-out
    pictures are copies of its training pictures: its numbers would say nothing.
    """
    real = {one.name: _Real(one) for one in sweep.subjects}
    looking, bare_images = Remembering(judge), dict[tuple[str, str], list[Image.Image]]()
    records: list[dict[str, Any]] = []
    distances: dict[tuple[Any, ...], np.ndarray] = {}
    for trial, subject, prompt, snapshot in _pictures_of(sweep):
        base = next(
            one for one in sweep.trials
            if one.seed is None and one.subjects == trial.subjects and one.variant == trial.variant
        )  # fmt: skip
        text = prompt.of(subject)
        result, bare = results[trial.cell.hash], results[base.cell.hash]
        images = result.images(*snapshot, text)
        if (bare.hash, text) not in bare_images:
            bare_images[bare.hash, text] = bare.images(0, 0, text)
        names = (
            subject.name, trial.variant.name, trial.after(snapshot[0]), snapshot[1], trial.seed,
            prompt.name, prompt.about,
        )  # fmt: skip
        label = dict(zip(LABEL, names, strict=True))
        columns = _score(looking, prompt, subject, real, images, bare_images[bare.hash, text])
        looking.forget(images)
        for number, path in enumerate(result.paths(*snapshot, text)):
            found = {name: column[number] for name, column in columns.items()}
            place = {
                "picture": number,
                "file": path.relative_to(store).as_posix(),
                "digest": file_sha256(path)[:DIGITS],
            }
            records.append({**label, **place, **found})
        # As exact as a table writes them, so that whoever reads it finds the same intervals.
        exact = perceptual_distances(judge, images)
        distances[names] = np.round(exact, FRACTION)
    return Measured(
        pictures=Tidy.of(PICTURES, records),
        summary=Tidy.of(SUMMARY, _summary(records, distances)),
        costs=Tidy.of(COSTS, _costs(sweep, results)),
        distances=distances,
    )


class _Real:
    """A subject's real pictures, checked."""

    def __init__(self, subject: Subject) -> None:
        self.training = [load_photo(path).image for path in subject.training]
        self.heldout = [load_photo(path).image for path in subject.heldout]
        held_out_control(self.training, self.heldout).require()


def _pictures_of(
    sweep: Sweep,
) -> Iterator[tuple[Trial, Subject, Prompt, tuple[int, int]]]:
    for trial in sweep.trials:
        for snapshot in trial.cell.snapshots:
            for subject in trial.subjects:
                for prompt in sweep.prompts:
                    yield trial, subject, prompt, snapshot


def _score(
    judge: PocketJudge,
    prompt: Prompt,
    subject: Subject,
    real: Mapping[str, _Real],
    images: list[Image.Image],
    base: list[Image.Image],
) -> dict[str, np.ndarray]:
    """Every column of one prompt's pictures, ``base`` from the same noise without any training."""
    words, own = prompt.description(subject), real[subject.name]
    alike, said = likeness(judge, images, own.heldout), agreement(judge, images, words)
    columns = {
        "likeness": alike,
        "likeness_change": alike - likeness(judge, base, own.heldout),
        "agreement": said,
        "agreement_change": said - agreement(judge, base, words),
        "drift": drifts(judge, images, base),
    }
    if prompt.about == "subject":
        columns["nearest_gap"] = nearest_gaps(judge, images, own.training, own.heldout)
        if others := [one.heldout for name, one in real.items() if name != subject.name]:
            columns["identified"] = identified(judge, images, own.heldout, others)
    if prompt.expects:
        hits = [attribute_hits(judge, images, *one) for one in prompt.expects.items()]
        columns["right"] = np.mean(hits, 0)
    return columns


def _summary(
    records: list[dict[str, Any]], distances: Mapping[tuple[Any, ...], np.ndarray]
) -> Iterator[dict[str, Any]]:
    keys = ("subject", "variant", "after", "step", "prompt", "about")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        groups[tuple(record[key] for key in keys)].append(record)
    for group, rows in groups.items():
        label = dict(zip(keys, group, strict=True))
        for (column, about), metric in _NAMES.items():
            if about in ("", label["about"]) and column in rows[0]:
                by_seed = _by_seed(rows, lambda row, column=column: row[column])
                yield {**label, "metric": metric, **_columns(bootstrap(by_seed))}
        matrices = [
            matrix for key, matrix in distances.items()
            if (*key[:4], *key[5:]) == group and len(matrix) > 1
        ]  # fmt: skip
        if matrices:
            yield {**label, "metric": "div", **_columns(diversity_interval(matrices))}


def _by_seed(
    rows: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]
) -> list[list[float]]:
    groups: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        groups[row["seed"]].append(value(row))
    return list(groups.values())


def _columns(found: Interval) -> dict[str, Any]:
    return {name: getattr(found, name) for name in SUMMARY if hasattr(found, name)}


def _costs(sweep: Sweep, results: Mapping[str, CellResult]) -> Iterator[dict[str, Any]]:
    for trial in sweep.trials:
        result = results[trial.cell.hash]
        for one in result.snapshots:
            yield {
                "variant": trial.variant.name,
                "after": trial.after(one.lesson),
                "step": one.step,
                "seed": trial.seed,
                "instance_loss": one.instance_loss,
                "prior_loss": one.prior_loss,
                "held_out_loss": one.held_out_loss,
                "training_s": result.seconds["training"],
                "painting_s": result.seconds["painting"],
                "cell": result.hash,
            }
