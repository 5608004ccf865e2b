"""``course.py clean``: end what runs and bills, prove it, then remove what can be remade."""

from __future__ import annotations

import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path

from helpers.cloud.ledger import Ledger
from helpers.launcher import kernels
from helpers.launcher.prepare import Launcher
from helpers.local.launch import find, remove_leftovers, stop
from helpers.local.statefile import JOURNAL
from helpers.settings import Settings

KEPT = ("ledger-aws-*", "notes-aws-*", "bases.jsonl", "consents.jsonl")
"""Of the state folder: what may still cost money, where to find what was made, licences that were
accepted, consents given."""
_STATE_FILES = (
    "service.*", "logs", "ledger-local-*", "notes-local-*", "images.json*", "prepared-bases",
    "demo-*", "sagemaker-sdk.yaml",
)  # fmt: skip
PHOTOS_KEPT = 4
"""Exit code of ``helpers.cloud.clean``: all is gone but photos and adapters, as was asked."""


def clean(
    launcher: Launcher, *, everything: bool = False, photos: str = "ask", dry_run: bool = False
) -> int:
    """End everything that this learner runs, here or on AWS, and remove what can be remade.

    ``photos``: ``delete`` or ``keep`` photos and adapters in S3, or ``ask`` on a terminal. Where
    nobody can be asked they stay on AWS. The local SageMaker's S3 is a folder of the state folder,
    so there they go with it, unless it is told to keep them: then it goes on running.

    Photos, pictures and reports on this machine stay. Returns 1 when something is left.
    """
    settings = Settings.from_environment()
    options = ["--photos", photos, *(["--dry-run"] if dry_run else [])]
    if settings.backend == "aws":
        code = launcher.run(launcher.course_python(), "-m", "helpers.cloud.clean", *options)
    else:
        code = _clean_local(launcher, settings, options)
    if dry_run:
        return code
    if code not in (0, PHOTOS_KEPT):
        print("not everything could be removed, so no file was", file=sys.stderr)
        return code
    serves_on = code == PHOTOS_KEPT and settings.backend == "local"
    removed = _remove_caches(launcher.root)
    if serves_on:
        print("the local SageMaker runs on: photos and adapters are in its S3")
    else:
        if stop(settings):
            print("the local SageMaker ended, and everything in it goes with its files")
        removed += [*remove_leftovers(settings), *remove_state(settings, launcher.root)]
    if everything:
        removed += _remove_environments(launcher)
    for path in removed:
        print(f"removed {path}")
    print(f"kept: photos, pictures and reports{'' if everything else ', the environments'}")
    _remind_of_aws(settings)
    return 0


def remove_state(settings: Settings, root: Path) -> list[Path]:
    """Remove what the local SageMaker left. In a folder of the learner's choice (``AVATAR_STATE``)
    only files of names that are known to be its own."""
    known = ("*",) if settings.state == root / ".local-sagemaker" else _STATE_FILES
    found = {path for name in known for path in settings.state.glob(name)}
    return [gone for path in sorted(found) if not _is_kept(path) for gone in _remove(path)]


def _clean_local(launcher: Launcher, settings: Settings, options: list[str]) -> int:
    """What the local SageMaker holds goes as on AWS; what resists goes with the process."""
    keeps = (settings.state / JOURNAL).exists() and "keep" in options
    if find(settings) is None and not keeps:
        print("no local SageMaker is running; what the last one kept goes with its files")
        return 0
    python = launcher.python_at_hand()
    if python is None:  # then the process alone is ended
        return 0
    code = launcher.run(python, "-m", "helpers.cloud.clean", *options)
    if code == 1 and "--dry-run" not in options:
        print("what is left ends with the local SageMaker itself")
        return 0
    return code


def _remind_of_aws(settings: Settings) -> None:
    for path in sorted(settings.state.glob("ledger-aws-*.jsonl")):
        learner = path.stem.removeprefix("ledger-aws-")
        if still := Ledger(path).open():
            print(
                f"On AWS {len(still)} resources of {learner} may still exist and cost money. "
                "To delete them:\n"
                f"  AVATAR_BACKEND=aws AVATAR_LEARNER={learner} python3 course.py clean"
            )


def _remove_environments(launcher: Launcher) -> list[Path]:
    for undone in kernels.unregister(launcher.root, launcher.private / "kernels.json"):
        print(f"put back as it was: {undone}")
    folders = (launcher.serving.folder, launcher.course.folder, launcher.private)
    return [gone for folder in folders for gone in _remove(folder)]


def _remove_caches(root: Path) -> list[Path]:
    caches = [root / name for name in (".pytest_cache", ".ruff_cache", ".hypothesis")]
    for room in ("helpers", "models", "notebooks", "tests", "training_service"):
        for name in ("__pycache__", ".ipynb_checkpoints"):
            for folder in [*(root / room).rglob(name)]:
                _remove(folder)
    return [gone for path in caches for gone in _remove(path)]


def _is_kept(path: Path) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in KEPT)


def _remove(path: Path) -> list[Path]:
    """Remove a file or folder; the path, in a list, if there was one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()
    else:
        return []
    return [path]
