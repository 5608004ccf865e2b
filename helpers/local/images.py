"""Container images of this machine: a name and the folder that stands for the files in it.

``add`` is to the local SageMaker what ``docker push`` is to AWS; the local CodeBuild calls it.
"""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from helpers.cloud.environment import BASE_REPOSITORY
from helpers.errors import ServiceError
from helpers.local.statefile import private_folder, write_private
from helpers.settings import Settings

_FILE = "images.json"


def register(settings: Settings, *, repository: str, folder: Path) -> None:
    """Let images named ``…/repository:tag`` start with the model repository ``folder``.

    A second call replaces it. Raises ``ServiceError`` when the folder does not exist.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise ServiceError(
            f"the image {repository} cannot be registered",
            f"{folder} is no folder",
            "build it first",
        )
    _write(settings.state, repository, {BASE_REPOSITORY: str(folder)})


def add(state: Path, image: str, layers: Path) -> None:
    """Let the image ``repository@digest`` start, with the files below ``layers`` as its own."""
    _write(state, image, {"/": str(Path(layers).resolve())})


def find(state: Path, image: str) -> dict[str, Path] | None:
    """Where the files of ``registry/repository@digest`` lie, by their place in the image.

    ``None`` for an image that this machine does not know, or whose folder is gone.
    """
    known = _read(state)
    name = image.rpartition("/")[2]
    mounts = known.get(name) or known.get(name.partition("@")[0].partition(":")[0])
    found = {place: Path(folder) for place, folder in (mounts or {}).items()}
    return found if found and all(folder.is_dir() for folder in found.values()) else None


def inside(mounts: dict[str, Path], path: str) -> Path | None:
    """The folder that stands for ``path`` in an image; ``None`` if the image does not have it."""
    for place, folder in sorted(mounts.items(), reverse=True):  # the longest place first
        if path == place or path.startswith(f"{place.rstrip('/')}/"):
            found = folder / path.removeprefix(place).lstrip("/")
            return found if found.is_dir() else None
    return None


def _write(state: Path, name: str, mounts: dict[str, str]) -> None:
    private_folder(state)
    with open(state / f"{_FILE}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(state) | {name: mounts}
        write_private(state / _FILE, json.dumps(known, indent=1))


def _read(state: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads((state / _FILE).read_text())
    except (OSError, ValueError):
        return {}
