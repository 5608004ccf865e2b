"""Pictures on disk, and the note beside each that says where it comes from.

What a picture says of itself inside its file (``helpers.hosting.picture``) is gone as soon as
somebody's tool writes the file anew. The note is plain JSON in ``<picture>.json``, for people, for
search and for whoever must show later what was made by a machine. It names the picture twice: by
the file's bytes, and by its pixels alone, which survive a tool that drops everything else.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.errors import GenerationError
from helpers.hosting.picture import AI_GENERATED, LABEL, Painted

FORMATS = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}
"""By a file's ending, its format among ``helpers.hosting.request.FORMATS``."""


def save_picture(painted: Painted, path: Path) -> Path:
    """Write the picture in the format of its ending, and its note; returns the picture's path.

    Both appear whole or not at all, the note first: no picture is ever there without one. Raises
    ``GenerationError`` for an ending that stands for no format.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise GenerationError(
            "the picture cannot be saved under this name",
            "its ending says the format",
            f"let it end with one of {', '.join(FORMATS)}",
        )
    data = painted.to_bytes(kind)
    note = {
        **painted.info,
        "source": LABEL,
        "digital_source_type": AI_GENERATED,
        "file": path.name,
        "file_sha256": hashlib.sha256(data).hexdigest(),
        # Of what was written: a JPEG's pixels are no longer those that were painted.
        "pixels_sha256": pixels_sha256(Painted.from_bytes(data).image),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(note, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    _write(note_path(path), text.encode("utf-8"))
    _write(path, data)
    return path


def note_path(path: Path) -> Path:
    """Where the note of the picture ``path`` lies."""
    return path.with_name(f"{path.name}.json")


def read_note(path: Path) -> dict[str, Any]:
    """The note of the picture ``path``, if it is this picture's.

    A picture that a tool wrote anew without loss still has its pixels. Raises ``GenerationError``
    when there is no note, or when it belongs to another picture.
    """
    path = Path(path)
    try:
        note = dict(json.loads(note_path(path).read_bytes()))
        data = path.read_bytes()
    except (OSError, ValueError, TypeError, RecursionError):
        raise GenerationError(
            f"{path.name} has no note of its origin",
            "the note lies beside it and ends with .json",
            "Move a picture together with its note",
        ) from None
    if note.get("file_sha256") != hashlib.sha256(data).hexdigest() and note.get(
        "pixels_sha256"
    ) != pixels_sha256(Painted.from_bytes(data).image):
        raise GenerationError(
            f"the note beside {path.name} belongs to another picture",
            "neither its bytes nor its pixels are those of the note",
            "The picture was changed, or another one was put in its place",
        )
    return note


def pixels_sha256(image: Image.Image) -> str:
    """SHA-256 over width, height and the RGB values, row by row."""
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.convert("RGB").tobytes())
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
