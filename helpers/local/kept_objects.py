"""S3's objects on this machine's disk: bodies in files, and what S3 knows of them in the journal.

moto answers for S3 and holds bodies in memory; once an object is kept its body is read from the
file instead, so a large base costs the disk and not the memory.
"""

from __future__ import annotations

import io
import os
import threading
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from helpers.local.context import ACCOUNT
from helpers.local.journal import Journal

KIND = "object"
_PLAIN = (
    "contentsize", "_etag", "_storage_class", "encryption", "kms_key_id", "bucket_key_enabled",
    "checksum_algorithm", "checksum_value", "checksum_type", "checksum_parts",
)  # fmt: skip
_PIECE = 1 << 20


class _OnDisk:
    """A body that stays on the disk, with as much of a file's interface as moto's key needs."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0

    def seek(self, place: int) -> None:
        self._at = place

    def read(self, size: int = -1) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self._at)
            found = file.read(size)
        self._at += len(found)
        return found

    def close(self) -> None:
        """Nothing is open."""


class KeptObjects:
    """The objects of one journal, with their bodies in ``folder``."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self._journal, self._folder = journal, folder
        self._lock = threading.Lock()
        self._older: dict[str, set[Path]] = {}  # bodies that may be an earlier version's
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _list_without_bodies()

    def look(self, bucket: str, key: str) -> None:
        """Keep an object as it is now, or forget it. Raises ``OSError`` when the disk is full;
        then S3 has it no more, or its earlier self again."""
        with self._lock:
            self._look(bucket, key)

    def look_at_all(self, bucket: str) -> None:
        """The same for a whole bucket, after a call that deletes many."""
        with self._lock, self._journal.change():
            for name in self._journal.all(KIND):
                held, _, key = name.partition("/")
                if held == bucket and self._found(bucket, key) is None:
                    self._look(bucket, key)
            for name in [name for name in self._older if name.partition("/")[0] == bucket]:
                self._let_go(name)

    def put_back(self) -> None:
        """Fill the buckets, which are there again; files that belong to nothing are removed."""
        named = set()
        for name, data in self._journal.all(KIND).items():
            path = self._folder / data["file"]
            bucket, _, key = name.partition("/")
            if path.is_file() and _buckets().get(bucket):
                named.add(path)
                self._put_back(bucket, key, data)
            else:
                self._journal.drop(KIND, name)
        for path in set(self._folder.iterdir()) - named:
            path.unlink(missing_ok=True)

    def _look(self, bucket: str, key: str) -> None:
        name, found = f"{bucket}/{key}", self._found(bucket, key)
        before = self._journal.find(KIND, name)
        try:
            if found is None:
                self._journal.drop(KIND, name)
                kept = None
            else:
                kept = self._write(found)
                self._journal.save(KIND, name, _describe(found, kept))
                found._value_buffer = _OnDisk(kept)
        except Exception:
            _buckets()[bucket].keys.pop(key)
            if before:
                self._put_back(bucket, key, before)
            raise
        if before and (kept is None or before["file"] != kept.name):
            self._older.setdefault(name, set()).add(self._folder / before["file"])
        self._let_go(name)

    def _let_go(self, name: str) -> None:
        """Remove the bodies that no version of an object holds any more."""
        bucket, _, key = name.partition("/")
        held = _buckets().get(bucket)
        versions = (held.keys.getlist(key, None) or []) if held else []
        bodies = [getattr(version, "_value_buffer", None) for version in versions]
        used = {body.path for body in bodies if isinstance(body, _OnDisk)}
        for path in self._older.pop(name, set()):
            if path in used:
                self._older.setdefault(name, set()).add(path)
            else:
                path.unlink(missing_ok=True)

    def _found(self, bucket: str, key: str) -> Any:
        """moto's object; ``None`` if there is none, or a deletion in its place."""
        found = held.keys.get(key) if (held := _buckets().get(bucket)) else None
        return found if hasattr(found, "_value_buffer") else None

    def _write(self, found: Any) -> Path:
        if isinstance(found._value_buffer, _OnDisk):
            return found._value_buffer.path
        path = self._folder / uuid.uuid4().hex
        try:
            with (
                found.lock,
                os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
            ):
                assert found.etag  # worked out from the body in memory, and then remembered
                found._value_buffer.seek(0)
                while piece := found._value_buffer.read(_PIECE):
                    file.write(piece)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _put_back(self, bucket: str, key: str, data: dict[str, Any]) -> None:
        from moto.s3.models import FakeKey, s3_backends

        held = _buckets()[bucket]
        made: Any = FakeKey(
            name=key, value=b"", account_id=ACCOUNT, region_name=held.region_name,
            bucket_name=bucket, version_id="null",
        )  # fmt: skip
        vars(made).update({field: data[field] for field in _PLAIN})
        made.last_modified = datetime.fromisoformat(data["modified"])
        made.set_metadata(data["metadata"])
        made._value_buffer = _OnDisk(self._folder / data["file"])
        held.keys.setlist(key, [made])
        if data["tags"]:
            tags = [{"Key": name, "Value": value} for name, value in data["tags"].items()]
            s3_backends[ACCOUNT]["aws"].tagger.tag_resource(made.arn, tags)


def _list_without_bodies() -> None:
    """moto lists versions from deep copies of a bucket's objects: copy them without their bodies,
    which would else be read and written again for every listing."""
    from moto.s3.models import FakeKey

    def without_body(key: Any, _memo: dict[int, Any]) -> Any:
        with key.lock:
            assert key.etag  # worked out from the body, and then remembered
        copied = object.__new__(type(key))
        vars(copied).update(vars(key), _value_buffer=io.BytesIO())  # a copy closes its own at last
        return copied

    FakeKey.__deepcopy__ = without_body  # type: ignore[attr-defined]


def _buckets() -> dict[str, Any]:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"].buckets


def _describe(found: Any, file: Path) -> dict[str, Any]:
    from moto.s3.models import s3_backends

    tags = s3_backends[ACCOUNT]["aws"].tagger.get_tag_dict_for_resource(found.arn)
    return {
        **{field: getattr(found, field) for field in _PLAIN},
        "file": file.name,
        "modified": found.last_modified.isoformat(),
        "metadata": dict(found.metadata),
        "tags": tags,
    }
