"""The older libraries, installed once beside the course's environment."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from helpers.launcher import pip
from helpers.launcher.environments import locked
from helpers.settings import ROOT

PINS = ROOT / "requirements" / "older-transformers.txt"


def make_older() -> Path:
    """The folder to put before everything else on Python's path.

    Takes about 15 s and 180 MB the first time. Raises ``SetupError`` with pip's words when the
    packages cannot be had, which fails the tests: there is no other way to know.
    """
    private = ROOT / ".course"
    folder, stamp = private / "older-transformers", f"{sys.version}\n{PINS.read_text()}"
    done = folder / "stamp.txt"
    with locked(private / "older.lock", print):
        if not done.is_file() or done.read_text() != stamp:
            shutil.rmtree(folder, ignore_errors=True)
            arguments = ["--target", folder, "--no-deps", "-r", PINS]
            pip.install(Path(sys.executable), arguments, log=private / "older.log", say=print)
            done.write_text(stamp)
    return folder
