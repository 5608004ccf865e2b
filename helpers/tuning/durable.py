"""Files and folders that appear whole or not at all, whoever is killed while writing."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PREFIX = ".unfinished-"
_ABANDONED_S = 3600
"""Seconds after which an unfinished file has no writer any more."""


def write_whole(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file to ``path`` by a rename; of several writers the last one wins.

    What writers that were killed long ago left beside it is removed.
    """
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(left)
    handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=path.parent)
    os.close(handle)
    try:
        save_file(dict(tensors), name, metadata=dict(metadata))
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A path to make a folder at, which takes the place of ``out`` when the block has ended well.

    What stood at ``out`` before is replaced; if the block fails, it stays as it was.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        fresh = work / "fresh"
        yield fresh
        if out.exists():
            out.rename(work / "replaced")
        os.rename(fresh, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_if_abandoned(file: Path) -> None:
    try:
        if time.time() - file.stat().st_mtime > _ABANDONED_S:
            file.unlink()
    except FileNotFoundError:
        pass  # another writer was faster
