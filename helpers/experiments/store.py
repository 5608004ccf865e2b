"""Finished cells on disk, found again by their hash.

    <hash>/cell.json                       what came out, and the hash of every picture
    <hash>/<lesson>-<step>/<prompt>-<k>.png

A cell is written beside its place and moved there in one piece: it is there whole or not at all,
whenever the process is killed. A damaged one counts as missing, and is made again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.bases import file_sha256
from helpers.experiments.sweep import Cell

RECORD = "cell.json"
_DRAFT, _LOCK = ".draft-", "lock"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is known at one mark: losses averaged since the mark before, ``None`` of the base.

    ``held_out_loss`` is the last one measured, where the configuration puts photos aside for it.
    """

    lesson: int
    step: int
    instance_loss: float | None = None
    prior_loss: float | None = None
    held_out_loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """A finished cell. ``seconds`` were spent on training and painting, on ``machine``."""

    hash: str
    folder: Path
    snapshots: tuple[Snapshot, ...]
    prompts: tuple[str, ...]
    pictures: int
    seconds: dict[str, float]
    machine: dict[str, Any]

    def paths(self, lesson: int, step: int, prompt: str) -> list[Path]:
        """Where the pictures of one prompt lie, in the order of their noise."""
        place = self.prompts.index(prompt)
        return [self.folder / _name(lesson, step, place, number) for number in range(self.pictures)]

    def images(self, lesson: int, step: int, prompt: str) -> list[Image.Image]:
        """Those pictures."""
        return [Image.open(path).convert("RGB") for path in self.paths(lesson, step, prompt)]


class Draft:
    """A cell that is being written."""

    def __init__(self, folder: Path, cell: Cell) -> None:
        self._folder, self._cell = folder, cell
        self._snapshots: list[Snapshot] = []
        self._hashes: dict[str, str] = {}

    def add(self, snapshot: Snapshot, pictures: Sequence[Sequence[Image.Image]]) -> None:
        """The pictures of a mark: for each prompt, one for each noise."""
        self._snapshots.append(snapshot)
        for place, row in enumerate(pictures):
            for number, picture in enumerate(row):
                name = _name(snapshot.lesson, snapshot.step, place, number)
                path = self._folder / name
                path.parent.mkdir(exist_ok=True)
                picture.save(path, "PNG")
                self._hashes[name] = file_sha256(path)

    def finish(self, seconds: dict[str, float], machine: dict[str, Any]) -> None:
        """Write the record, last."""
        record = {
            "hash": self._cell.hash,
            "snapshots": [asdict(one) for one in self._snapshots],
            "prompts": self._cell.prompts,
            "pictures": self._cell.pictures,
            "seconds": {name: round(spent, 2) for name, spent in seconds.items()},
            "machine": machine,
            "files": self._hashes,
        }
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (self._folder / RECORD).write_text(text, encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of finished cells. Several processes may use one at the same time."""

    folder: Path

    @property
    def class_images(self) -> Path:
        """Where cells share the class images of prior preservation."""
        return self.folder / "class_images"

    def find(self, cell: Cell) -> CellResult | None:
        """The finished cell, or ``None`` if there is none, or one that is not whole."""
        home = self.folder / cell.hash
        try:
            record = json.loads((home / RECORD).read_text(encoding="utf-8"))
            files = record.pop("files")
            expected = {
                _name(lesson, step, place, number)
                for lesson, step in cell.snapshots
                for place in range(len(cell.prompts))
                for number in range(cell.pictures)
            }
            if record["hash"] != cell.hash or set(files) != expected:
                return None
            if any(file_sha256(home / name) != digest for name, digest in files.items()):
                return None
            snapshots = tuple(Snapshot(**one) for one in record.pop("snapshots"))
            prompts = tuple(record.pop("prompts"))
            return CellResult(folder=home, snapshots=snapshots, prompts=prompts, **record)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    @contextmanager
    def writing(self, cell: Cell) -> Iterator[Draft]:
        """A draft that takes its place when the block ends; an error leaves nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        prefix = f"{_DRAFT}{os.getpid()}-"
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder))
        with (work / "lock.new").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                (work / "lock.new").rename(work / _LOCK)
                fresh = work / "cell"
                fresh.mkdir()
                yield Draft(fresh, cell)
                home = self.folder / cell.hash
                if home.exists():
                    home.rename(work / "replaced")
                try:
                    os.rename(fresh, home)
                except OSError:
                    # Another process may have finished the same cell in between.
                    if self.find(cell) is None:
                        raise
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def sweep_up(self) -> None:
        """Remove what killed processes left behind."""
        for path in self.folder.glob(f"{_DRAFT}*/{_LOCK}"):
            # Whoever is at work holds the lock from before it has this name until the end.
            with suppress(OSError), path.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)


def _name(lesson: int, step: int, prompt: int, number: int) -> str:
    return f"{lesson}-{step:05d}/{prompt:02d}-{number:03d}.png"
