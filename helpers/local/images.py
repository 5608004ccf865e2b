"""Container images of this machine: a repository name and the folder that stands for its content.

``register`` is to the local SageMaker what ``docker build`` and ``docker push`` are to AWS.
"""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from helpers.errors import ServiceError
from helpers.local.statefile import private_folder, write_private
from helpers.settings import Settings

_FILE = "images.json"


def register(settings: Settings, *, repository: str, folder: Path) -> None:
    """Let images named ``…/repository:tag`` start from ``folder``; a second call replaces it.

    Raises ``ServiceError`` when the folder does not exist.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise ServiceError(
            f"the image {repository} cannot be registered",
            f"{folder} is no folder",
            "build it first",
        )
    private_folder(settings.state)
    with open(settings.state / f"{_FILE}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(settings.state) | {repository: str(folder)}
        write_private(settings.state / _FILE, json.dumps(known, indent=1))


def folder_of(state: Path, repository: str) -> Path | None:
    """The registered folder, or ``None`` when the repository is unknown or its folder is gone."""
    path = _read(state).get(repository)
    return Path(path) if path and Path(path).is_dir() else None


def _read(state: Path) -> dict[str, str]:
    try:
        return json.loads((state / _FILE).read_text())
    except (OSError, ValueError):
        return {}
