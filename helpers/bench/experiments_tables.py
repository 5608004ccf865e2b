"""What the bench measured, a folder a sweep: taken from there while nothing of it changed.

    <sweep>/sweep.json                                   what it was made of, when, and on what
    <sweep>/{pictures,summary,costs,distances}.csv.gz    see ``Measured``

The pictures of a whole run have 140 MB and take hours, their scores have two and are published
beside the page: whoever doubts an interval or a verdict computes it again in a minute.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers.bases import file_sha256
from helpers.errors import ExperimentError
from helpers.experiments.measured import Measured
from helpers.experiments.sweep import Sweep
from helpers.settings import ROOT

PUBLISHED = ROOT / "docs" / "experiments"
ENDING = ".csv.gz"
RECORD = "sweep.json"
MEASURES = 2
"""Counts up when the same pictures would give other tables."""


def fingerprint(sweep: Sweep, judge: Path) -> str:
    """A hash of all that the tables of a sweep depend on: its trainings, the judge's weights, what
    is asked of it, and the pictures that others are compared with."""
    known = {
        "measures": MEASURES,
        "judge": file_sha256(judge),
        "trials": [
            (trial.variant.name, trial.seed, trial.cell.hash, [one.name for one in trial.subjects])
            for trial in sweep.trials
        ],
        "prompts": [
            (prompt.name, prompt.about, prompt.of(subject), prompt.description(subject),
             sorted(prompt.expects.items()))
            for prompt in sweep.prompts for subject in sweep.subjects
        ],
        "real": [
            [file_sha256(path) for path in (*subject.training, *subject.heldout)]
            for subject in sweep.subjects
        ],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def own(work: Path) -> Path:
    """Where a bench that works in that folder keeps its tables."""
    return work / "tables"


def find(name: str, wanted: str, folders: Sequence[Path]) -> Measured | None:
    """The tables of the sweep with that fingerprint, from the first folder that has them whole."""
    for folder in folders:
        if _fingerprint_in(folder / name) == wanted:
            with suppress(ExperimentError):
                return Measured.read(folder / name, ENDING)
    return None


def keep(found: Measured, name: str, wanted: str, folder: Path, machine: Mapping[str, Any]) -> None:
    """Write the tables of a sweep; ``machine`` is what made its pictures."""
    home = folder / name
    (home / RECORD).unlink(missing_ok=True)
    for table, rows in found.tables.items():
        rows.write_csv(home / f"{table}{ENDING}")
    date = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"fingerprint": wanted, "date": date, "machine": dict(machine)}
    # Last: tables without it are not taken.
    (home / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def prune(folder: Path, wanted: Mapping[str, str]) -> None:
    """Remove the tables there of sweeps that have another fingerprint than the one ``wanted``."""
    for path in folder.glob(f"*/{RECORD}"):
        if _fingerprint_in(path.parent) != wanted.get(path.parent.name):
            shutil.rmtree(path.parent)


def publish(source: Path, target: Path) -> list[str]:
    """Copy what a run measured beside its page; what lies there of an earlier one is replaced.

    Returns the names of the sweeps.
    """
    names = sorted(path.parent.name for path in source.glob(f"*/{RECORD}"))
    for name in names:
        shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree(source / name, target / name)
    return names


def _fingerprint_in(home: Path) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return json.loads((home / RECORD).read_text(encoding="utf-8"))["fingerprint"]
    return None
