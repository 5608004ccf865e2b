"""A base that was checked: its package, and the manifest that explains it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.bases.folder import MANIFEST, BaseModel
from helpers.settings import Settings

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class PreparedBase:
    """A base ready to be packed or uploaded.

    ``files`` is where each file of the package lies now, ``sums`` what it hashes to (SHA-256);
    both leave out ``base.json``, whose text is ``manifest``. ``notes`` say what was left out or
    changed. ``base.hash`` is that of the package.
    """

    base: BaseModel
    files: Mapping[str, Path]
    sums: Mapping[str, str]
    manifest: bytes
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return len(self.manifest) + sum(path.stat().st_size for path in self.files.values())

    def members(self, below: str = "") -> dict[str, Path | bytes]:
        """The package as ``helpers.archives.pack`` takes it, below a folder such as ``base/``."""
        files: dict[str, Path | bytes] = {**self.files, MANIFEST: self.manifest}
        return {f"{below}{name}": content for name, content in files.items()}

    def write(self, folder: Path, *, link: bool = False) -> BaseModel:
        """Write the package into a new folder, ``base.json`` last; returns the base there.

        ``link`` lays links to the files that are on this machine instead of copying them.
        """
        for name, path in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if link:
                (folder / name).symlink_to(path.resolve())
            else:
                shutil.copyfile(path, folder / name)
        (folder / MANIFEST).write_bytes(self.manifest)
        return replace(self.base, folder=folder)


def usable_folder(prepared: PreparedBase, settings: Settings) -> Path:
    """A folder of this machine that opens as the package: the given one, or one of links to it."""
    if not prepared.notes:
        return prepared.base.folder
    folder = workshop(settings, prepared.base.hash) / "base"
    if not (folder / MANIFEST).exists():
        shutil.rmtree(folder, ignore_errors=True)
        prepared.write(folder, link=True)
    return folder


def workshop(settings: Settings, digest: str) -> Path:
    """Where the few files lie that preparing changes, named by what they were made from."""
    folder = settings.state / "prepared-bases" / digest[:16]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def manifest_of(
    base: BaseModel,
    files: Mapping[str, Path],
    sums: Mapping[str, str],
    accepted: Mapping[str, Any] | None,
) -> bytes:
    licence = base.registered.licence
    told = {
        "format": FORMAT,
        "id": base.id,
        "hash": base.hash,
        "prediction_type": base.prediction_type,
        "resolution": base.resolution,
        "vouched": base.vouched,
        "licence": {
            "licence": licence.spdx,
            "name": licence.name,
            "address": licence.address,
            "accepted": accepted["accepted"] if accepted else "not needed",
            "by": accepted["by"] if accepted else "",
        },
        "files": {
            name: {"sha256": digest, "bytes": files[name].stat().st_size}
            for name, digest in sums.items()
        },
    }
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()
