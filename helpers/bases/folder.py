"""A base model on disk: what its folder holds, which one it is, and who vouches for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.bases.recognise import recognise
from helpers.bases.records import remembered_folder, require_licence
from helpers.bases.registry import PARTS, REGISTRY, Registered, registered
from helpers.bases.shape import read_config, read_shape
from helpers.errors import BaseModelError, fit_to_print
from helpers.settings import ROOT, Settings

POCKET = ROOT / "models" / "pocket"
"""The base that the course ships."""

MANIFEST = "base.json"
"""Of a prepared base: which one it is, and what every file hashes to. Written last."""


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A base model on disk.

    ``hash`` is the SHA-256 over its weights, ``resolution`` the side in pixels that it paints,
    ``prediction_type`` what its U-Net predicts: ``epsilon`` or ``v_prediction``. ``vouched`` says
    in words why its weights are taken for those of ``id``.
    """

    id: str
    folder: Path
    hash: str
    resolution: int
    prediction_type: str
    vouched: str = ""

    @property
    def registered(self) -> Registered:
        """The registry's entry."""
        return REGISTRY[self.id]


def shipped_base(base_id: str, *, settings: Settings | None = None) -> BaseModel:
    """The base of that id on this machine: the course's own, or one taken in by ``course.py base``.

    Raises ``BaseModelError`` if it is not there.
    """
    entry = registered(base_id)
    if base_id == "pocket":
        return open_base(POCKET, settings=settings)
    folder = remembered_folder(entry, settings or Settings.from_environment())
    if folder is None:
        raise BaseModelError(
            f"the base model {base_id} is not on this machine",
            "the course ships the base pocket",
            "leave AVATAR_BASE_MODEL out, or set it to pocket; or get the base's files and run "
            f"python3 course.py base {base_id} --from FOLDER",
        )
    return open_base(folder, base_id=base_id, settings=settings)


def open_base(
    folder: Path, *, base_id: str | None = None, settings: Settings | None = None
) -> BaseModel:
    """Read what a diffusers folder holds. Loads no weights, but reads them all for the hash.

    ``base_id`` says which base it must be; ``settings`` name the state folder in which acceptances
    lie. Raises ``BaseModelError`` when the folder is missing or incomplete, holds weights in
    another format than safetensors, is no base of the registry, holds other weights than that
    base's, or when its licence has not been accepted.
    """
    folder = Path(folder)
    shape = read_shape(folder)
    sums = weight_sums(folder)
    given = _manifest(folder)
    if given is not None:
        if given.get("hash") != combined_hash(sums) or base_id not in (None, given.get("id")):
            raise BaseModelError(
                f"The base model in {folder.name}/ is not the one that its {MANIFEST} names",
                f"It should be {fit_to_print(given.get('id'))} "
                f"{fit_to_print(given.get('hash'), 12)}, "
                f"its weights are {combined_hash(sums)[:12]}",
                "Get the base model again",
            )
        entry, vouched = registered(str(given.get("id"))), str(given.get("vouched"))
        shape.require(entry, folder)
        accepted = given.get("licence")
        if not isinstance(accepted, dict) or accepted.get("licence") != entry.licence.spdx:
            require_licence(entry, settings)
    else:
        entry, vouched = recognise(folder, shape, sums, base_id=base_id, settings=settings)
        require_licence(entry, settings)
    return BaseModel(
        id=entry.id,
        folder=folder,
        hash=combined_hash(sums),
        resolution=shape.resolution,
        prediction_type=shape.prediction_type,
        vouched=vouched,
    )


def weight_sums(folder: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of each weight file that a loader takes, by part and file name.

    Variants such as ``model.fp16.safetensors`` do not count. Raises ``BaseModelError`` when a part
    has no safetensors file.
    """
    sums = {}
    for part in PARTS:
        files = [
            file for file in sorted((folder / part).glob("*.safetensors")) if not variant(file)
        ]
        if not files:
            raise BaseModelError(
                f"The base model in {folder.name}/ has no usable weights for {part}",
                "Only safetensors files are read, because other formats can run code",
                "Convert or download the base in that format; a base in half precision alone "
                "(.fp16.safetensors) is taken in by python3 course.py base",
            )
        sums[part] = {file.name: file_sha256(file) for file in files}
    return sums


def variant(file: Path) -> str:
    """``fp16`` of ``model.fp16.safetensors``; empty for the file that a loader takes unasked."""
    return file.name.removesuffix(".safetensors").partition(".")[2]


def base_hash(folder: Path) -> str:
    """SHA-256 (hex) over the weight files of text encoder, U-Net and autoencoder.

    Names count as well as bytes; cards and configurations do not. Raises ``BaseModelError`` when
    one of the three has no safetensors file.
    """
    return combined_hash(weight_sums(folder))


def combined_hash(sums: Mapping[str, Mapping[str, str]]) -> str:
    """The base's hash, from its files' own."""
    digest = hashlib.sha256()
    for part in PARTS:
        for name, sha256 in sorted(sums[part].items()):
            digest.update(f"{part}/{name}\0{sha256}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any] | None:
    return read_config(folder, MANIFEST) if (folder / MANIFEST).is_file() else None
