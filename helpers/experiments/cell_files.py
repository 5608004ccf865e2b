"""A cell in a folder: what a training job is sent instead of a data set, and does.

cell.json                 all that the cell is, and its hash
<sha256, shortened>.jpg   the pictures that it trains on
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers.bases import BaseModel, open_base
from helpers.errors import ExperimentError
from helpers.experiments.sweep import Cell, Companion, Lesson, Sampling
from helpers.startup import import_libraries
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.train_job import BASE, TRAINING, Container

CELL = "cell.json"


def write_cell(cell: Cell, folder: Path) -> None:
    """Write the cell with its pictures, each named by its hash, into ``folder``."""
    lessons = []
    for lesson in cell.lessons:
        told: dict[str, Any] = {
            "pictures": _copied(lesson.pictures, lesson.hashes, folder),
            "hashes": lesson.hashes,
            "config": lesson.config.to_mapping(),
            "marks": lesson.marks,
            "others": [
                {**asdict(one), "pictures": _copied(one.pictures, one.hashes, folder)}
                for one in lesson.others
            ],
        }
        lessons.append(told)
    told = {
        "hash": cell.hash, "lessons": lessons, "prompts": cell.prompts, "pictures": cell.pictures,
        "sampling": asdict(cell.sampling), "speakers": cell.speakers,
    }  # fmt: skip
    (folder / CELL).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def read_cell(folder: Path, base: BaseModel) -> Cell:
    """The cell that ``write_cell`` wrote. Raises ``ExperimentError`` unless it is the same one."""
    told = json.loads((folder / CELL).read_text(encoding="utf-8"))
    cell = Cell(
        base=base,
        lessons=tuple(_lesson(one, folder) for one in told["lessons"]),
        prompts=tuple(told["prompts"]),
        pictures=told["pictures"],
        sampling=Sampling(**told["sampling"]),
        speakers=tuple(told["speakers"]),
    )
    if cell.hash != told["hash"]:
        raise ExperimentError(
            "the cell is not the one that was asked for",
            "this code, or this base, is another than where it was written",
            "upload both again",
        )
    return cell


def run_cell_job(container: Container, *, log: Callable[[str], None]) -> None:
    """What a training job does that was sent a cell: it is in the model folder afterwards."""
    cell = read_cell(container.channel(TRAINING), open_base(container.channel(BASE)))
    import_libraries()
    from helpers.experiments.work import run_cell

    log(f"[job] cell {cell.hash[:16]}: {len(cell.lessons)} lessons, {len(cell.prompts)} prompts")
    with tempfile.TemporaryDirectory() as folder:
        done = run_cell(cell, Path(folder))
        shutil.copytree(done.folder, container.model, dirs_exist_ok=True)


def _lesson(told: Mapping[str, Any], folder: Path) -> Lesson:
    others = tuple(
        Companion(
            **{
                **one,
                "pictures": tuple(folder / name for name in one["pictures"]),
                "hashes": tuple(one["hashes"]),
            }
        )
        for one in told["others"]
    )
    return Lesson(
        pictures=tuple(folder / name for name in told["pictures"]),
        hashes=tuple(told["hashes"]),
        config=FineTuneConfig.from_mapping(told["config"]),
        marks=tuple(told["marks"]),
        others=others,
    )


def _copied(pictures: Sequence[Path], hashes: Sequence[str], folder: Path) -> list[str]:
    names = []
    for path, digest in zip(pictures, hashes, strict=True):
        name = f"{digest[:24]}{path.suffix.lower()}"
        shutil.copyfile(path, folder / name)
        names.append(name)
    return names
