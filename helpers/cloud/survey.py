"""Every file that may belong to an avatar, in S3 and on this machine, with its traces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from helpers.cloud.kinds_storage import is_personal, versions
from helpers.cloud.records import FOLDER
from helpers.cloud.session import Cloud
from helpers.cloud.traces import LARGEST, traces_in, traces_in_text, traces_of_key
from helpers.s3 import split_uri
from helpers.settings import Settings

LINKS = (FOLDER, "requests", "staging", "avatars")
"""Folders in S3 whose objects are each about one avatar. Elsewhere a file may name several."""
NOT_LOOKED_INTO = ("ledger-*", "logs", "images", "prepared-bases", "service.*", "consents.jsonl",
                   "bases.jsonl")  # fmt: skip
"""Of the state folder: what holds no likeness."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file by its address or path. ``links``: all its traces are of one avatar. ``places``:
    other addresses that belong to it. ``note``: the key of a notebook's note, for ``path#key``."""

    where: str
    traces: frozenset[str]
    links: bool = False
    places: frozenset[str] = frozenset()


def in_s3(cloud: Cloud) -> Iterator[Found]:
    """Every key below the learner's prefix where personal things may lie.

    A key is one thing, whatever versions of it there are. Raises ``ClientError``.
    """
    bucket, prefix = split_uri(cloud.uri(""))
    keys: dict[str, list[dict]] = {}
    for item in versions(cloud, cloud.uri("")):
        uri = f"s3://{bucket}/{item['Key']}"
        if is_personal(cloud, f"{uri.rpartition('/')[0]}/"):
            keys.setdefault(item["Key"], []).append(item)
    for key, items in keys.items():
        traces = set(traces_of_key(key.removeprefix(prefix)))
        places: set[str] = set()
        for item in items:
            if "Size" in item and item["Size"] <= LARGEST:  # the mark of a deletion has no size
                said, named = _said_by(cloud, bucket, item)
                traces |= said
                places |= named
        folder = key.removeprefix(prefix).partition("/")[0]
        yield Found(
            where=f"s3://{bucket}/{key}",
            traces=frozenset(traces),
            links=folder in LINKS,
            places=frozenset(places),
        )


def on_disk(folders: Iterable[Path], settings: Settings) -> Iterator[Found]:
    """Every file below the folders; of notebooks' notes every note."""
    for path in sorted({path for folder in folders for path in Path(folder).rglob("*")}):
        if not path.is_file() or path.is_symlink() or _passed_over(path, settings.state):
            continue
        if path.name.startswith("notes-") and path.parent == settings.state:
            yield from _notes(path)
        elif path.stat().st_size <= LARGEST:
            yield Found(where=str(path), traces=traces_in(path.name, path.read_bytes()))


def own_folders(settings: Settings) -> tuple[Path, ...]:
    """Where the course itself writes: pictures and reports, notes and working files."""
    return settings.outputs, settings.state


_KNOWN: dict[tuple[object, ...], tuple[frozenset[str], frozenset[str]]] = {}
"""What was read before. A forgetting looks at everything again and again, and models are large."""


def _said_by(cloud: Cloud, bucket: str, item: dict) -> tuple[frozenset[str], frozenset[str]]:
    """Traces and places in one version of an object."""
    place = bucket, item["Key"], item["VersionId"], item["ETag"], item["LastModified"]
    if place not in _KNOWN:
        content, metadata = _read(cloud, bucket, item)
        if content is None:
            return frozenset(), frozenset()
        job = {f"job:{metadata['job']}"} if "job" in metadata else set()
        _KNOWN[place] = (
            traces_in(item["Key"], content) | job,
            frozenset(_places(item["Key"], content)),
        )
    return _KNOWN[place]


def _read(cloud: Cloud, bucket: str, item: dict) -> tuple[bytes | None, dict[str, str]]:
    which = {} if item["IsLatest"] else {"VersionId": item["VersionId"]}
    try:
        answer = cloud.client("s3").get_object(Bucket=bucket, Key=item["Key"], **which)
    except ClientError as trouble:
        # Old versions have a permission of their own; their key still says whose they are.
        if trouble.response["Error"]["Code"] in ("AccessDenied", "NoSuchKey", "NoSuchVersion"):
            return None, {}
        raise
    return answer["Body"].read(), answer.get("Metadata", {})


def _places(key: str, content: bytes) -> set[str]:
    if f"/{FOLDER}/" not in key:
        return set()
    try:
        return {place for place in json.loads(content)["places"] if isinstance(place, str)}
    except (ValueError, KeyError, TypeError):
        return set()


def _notes(path: Path) -> Iterator[Found]:
    """Each note by itself; the folder of held-out photos goes with that of the photos."""
    try:
        notes = {name: str(value) for name, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return
    traces = {
        name: traces_in_text(value) | _photos_in(Path(value)) for name, value in notes.items()
    }
    together = traces.get("photos", frozenset()) | traces.get("heldout", frozenset())
    for name, own in traces.items():
        found = together if name in ("photos", "heldout") else own
        yield Found(where=f"{path}#{name}", traces=found)


def _photos_in(folder: Path) -> frozenset[str]:
    if not folder.is_absolute() or not folder.is_dir():
        return frozenset()
    files = [file for file in folder.iterdir() if file.is_file()]
    return frozenset().union(*(traces_in(file.name, file.read_bytes()) for file in files))


def _passed_over(path: Path, state: Path) -> bool:
    if not path.is_relative_to(state):
        return False
    top = path.relative_to(state).parts[0]
    return any(Path(top).match(pattern) for pattern in NOT_LOOKED_INTO)
