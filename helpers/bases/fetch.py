"""A base from the bucket onto a container's disk: whole, checked, or not there at all.

Called when a container starts, by whatever needs a base that did not come with its archive. A start
that was cut off is taken up again where it stopped, and two processes of one container fetch once.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from helpers.archives import safe_name
from helpers.bases.folder import MANIFEST, BaseModel, file_sha256, open_base
from helpers.errors import BaseModelError, CourseError
from helpers.s3 import split_uri
from helpers.strict_json import parse_object

MIB = 1024**2
SPARE = 256 * MIB
"""Bytes of disk that stay free."""
TRIES = 3
AT_ONCE = 4
_SHA256 = re.compile("[0-9a-f]{64}")


def fetch_base(s3: Any, uri: str, folder: Path) -> BaseModel:
    """Bring the base that ``upload_base`` left at ``uri`` into ``folder`` and open it.

    ``s3`` is a boto3 client that may read below ``uri``. What is in ``folder`` already is kept if
    it is this base, else replaced. Every file is compared with its hash, and the folder appears
    only when all are there.

    Raises ``BaseModelError`` when there is no whole base at ``uri``, a file is not what the
    manifest says, the disk is too small, or the connection fails three times.
    """
    folder = Path(folder)
    manifest = read_manifest(s3, uri)
    files: dict[str, dict[str, Any]] = manifest["files"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if _same(folder, manifest):
            with suppress(BaseModelError):
                return open_base(folder)
        work = folder.with_name(f".{folder.name}.fetching")
        work.mkdir(exist_ok=True)
        _clear_strays(work, files)
        _require_room(work, files)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(_fetch, s3, uri, work, *item) for item in files.items()]:
                done.result()
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(work, folder)
        return open_base(folder)


def read_manifest(s3: Any, uri: str) -> dict[str, Any]:
    """``base.json`` of the base at ``uri``. Raises ``BaseModelError`` where no whole base lies."""
    bucket, key = _object(uri, MANIFEST)
    try:
        manifest = parse_object(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        for name, facts in manifest["files"].items():
            right = safe_name(name) == name and name != MANIFEST
            right = right and type(facts["bytes"]) is int and facts["bytes"] >= 0
            right = right and _SHA256.fullmatch(facts["sha256"])
            if not right:
                raise ValueError(name)
    except ClientError as trouble:
        raise BaseModelError(
            f"there is no whole base model at {uri}",
            trouble.response["Error"].get("Message", str(trouble)),
            "upload it with python3 course.py base, which writes its manifest last",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, CourseError):
        raise BaseModelError(
            f"the manifest of the base model at {uri} is damaged",
            f"{MANIFEST} names a file of the base, its bytes and its sha256 in each line",
            "upload the base again with python3 course.py base",
        ) from None
    return manifest


def _fetch(s3: Any, uri: str, work: Path, name: str, facts: Mapping[str, Any]) -> None:
    """One file, from where an earlier try stopped; under its name only when its hash is right."""
    target = work / name
    if target.is_file() and _right(target, facts):
        return
    partial = target.with_name(f"{target.name}.part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    trouble: Exception | None = None
    for _ in range(TRIES):
        try:
            _go_on(s3, uri, name, partial, facts["bytes"])
        except (ClientError, BotoCoreError, OSError) as error:
            trouble = error
            continue
        if _right(partial, facts):
            os.replace(partial, target)
            return
        trouble = None
        partial.unlink()
    raise BaseModelError(
        f"{name} of the base model could not be fetched",
        str(trouble) if trouble else "it is not what the manifest says, however often it is read",
        "look whether the bucket is reached, and upload the base again if it is",
    )


def _go_on(s3: Any, uri: str, name: str, partial: Path, size: int) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    if have >= size > 0:
        return
    bucket, key = _object(uri, name)
    more = {"Range": f"bytes={have}-"} if have else {}
    body = s3.get_object(Bucket=bucket, Key=key, **more)["Body"]
    with partial.open("ab") as file:
        for chunk in body.iter_chunks(MIB):
            file.write(chunk)


def _right(path: Path, facts: Mapping[str, Any]) -> bool:
    return path.stat().st_size == facts["bytes"] and file_sha256(path) == facts["sha256"]


def _clear_strays(work: Path, files: Mapping[str, Any]) -> None:
    """An earlier try may have been for another base."""
    for path in [path for path in work.rglob("*") if path.is_file()]:
        if path.relative_to(work).as_posix().removesuffix(".part") not in files:
            path.unlink()


def _same(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the folder holds this base, every file as long as it should be."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
        sizes = {name: (folder / name).stat().st_size for name in manifest["files"]}
    except (OSError, ValueError):
        return False
    return found == manifest and all(
        size == manifest["files"][name]["bytes"] for name, size in sizes.items()
    )


def _require_room(work: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    here = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    missing = sum(facts["bytes"] for facts in files.values()) - here
    free = shutil.disk_usage(work).free
    if missing + SPARE > free:
        raise BaseModelError(
            "the disk is too small for the base model",
            f"it needs {(missing + SPARE) / MIB:,.0f} MiB more, and {free / MIB:,.0f} are free",
            "give the endpoint's instance a larger volume (VolumeSizeInGB), or another folder",
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the system frees the lock at any end."""
    with open(folder.with_name(f".{folder.name}.lock"), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _object(uri: str, name: str) -> tuple[str, str]:
    bucket, key = split_uri(uri)
    return bucket, f"{key.rstrip('/')}/{name}"
