"""Bases in the learner's own bucket, from where every container takes them.

    s3://bucket/avatar-course/<learner>/bases/<id>/<hash>/unet/… base.json

A prefix is named by what it holds, so it never changes; ``base.json`` is written last, so a base
that was half uploaded is never taken for one. Containers get it in one of two ways: SageMaker lays
the files out itself (``helpers.tuning.package.stage_training_service``), or the container's own
code calls ``helpers.bases.fetch.fetch_base``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from helpers.bases.fetch import read_manifest
from helpers.bases.folder import MANIFEST
from helpers.bases.prepare import prepare_base
from helpers.bases.prepared import PreparedBase, usable_folder
from helpers.bases.records import remember_folder
from helpers.bases.registry import registered
from helpers.errors import BaseModelError
from helpers.s3 import split_uri

if TYPE_CHECKING:
    from helpers.cloud.ledger import Ledger
    from helpers.cloud.session import Cloud

_MISSING = {"403", "404", "NoSuchKey", "NotFound"}
"""Without permission to list, S3 says 403 for an object that is not there."""


@dataclass(frozen=True, kw_only=True)
class StoredBase:
    """A base in the bucket. ``uploaded`` and ``skipped`` count files of this upload; ``bytes`` is
    the size of all of them."""

    id: str
    hash: str
    uri: str
    vouched: str
    bytes: int
    uploaded: int
    skipped: int
    notes: tuple[str, ...]


def upload_base(
    cloud: Cloud,
    ledger: Ledger,
    folder: Path,
    *,
    base_id: str | None = None,
    trust: bool = False,
    on_file: Callable[[str, bool], None] = lambda name, sent: None,
) -> StoredBase:
    """Verify the base in ``folder``, package it and put it into the learner's bucket.

    Once more costs nothing: files that are there are skipped, so an upload that was cut off goes
    on. ``on_file`` is told each file and whether it was sent. ``base_id`` and ``trust`` are those
    of ``prepare_base``, and so are the errors; ``ClientError`` when the bucket refuses.
    """
    prepared = prepare_base(folder, base_id=base_id, trust=trust, settings=cloud.settings)
    base = prepared.base
    uri = base_uri(cloud, base.id, base.hash)
    ledger.planned("s3-prefix", uri)
    s3, sent = cloud.client("s3"), 0
    for name, path in prepared.files.items():
        new = put_file(s3, f"{uri}{name}", path, prepared.sums[name])
        sent += new
        on_file(name, new)
    bucket, key = split_uri(f"{uri}{MANIFEST}")
    s3.put_object(Bucket=bucket, Key=key, Body=prepared.manifest)
    ledger.created("s3-prefix", uri)
    remember_folder(base.registered, usable_folder(prepared, cloud.settings), cloud.settings)
    return _stored(prepared, uri, sent)


def base_uri(cloud: Cloud, base_id: str, digest: str) -> str:
    """Where the base of that id and hash lies; ends with a slash."""
    return cloud.uri("bases", base_id, digest) + "/"


def find_base(cloud: Cloud, base_id: str) -> str:
    """The address of the base of that id in the learner's bucket, the newest if there are several.

    Raises ``BaseModelError`` when none was uploaded to its end.
    """
    bucket, prefix = split_uri(cloud.uri("bases", registered(base_id).id) + "/")
    pages = cloud.client("s3").get_paginator("list_objects_v2")
    whole = [
        item
        for page in pages.paginate(Bucket=bucket, Prefix=prefix)
        for item in page.get("Contents", [])
        if item["Key"].endswith(f"/{MANIFEST}")
    ]
    if not whole:
        raise BaseModelError(
            f"the base model {base_id} is not in your bucket",
            f"nothing whole lies below s3://{bucket}/{prefix}",
            f"run python3 course.py base {base_id} --from FOLDER",
        )
    newest = max(whole, key=lambda item: item["LastModified"])["Key"]
    return f"s3://{bucket}/{newest.removesuffix(MANIFEST)}"


def copy_base(s3: Any, uri: str, target: str) -> None:
    """Copy the base at ``uri`` below another prefix, inside S3; files that are there are skipped.

    SageMaker takes model data from one prefix, so code and base have to lie under the same one.
    Raises ``BaseModelError`` where no whole base lies.
    """
    manifest = read_manifest(s3, uri)
    sums = {name: facts["sha256"] for name, facts in manifest["files"].items()}
    for name in [*sums, MANIFEST]:
        bucket, key = split_uri(f"{target.rstrip('/')}/{name}")
        if name in sums and _is_there(
            s3, bucket, key, manifest["files"][name]["bytes"], sums[name]
        ):
            continue
        old_bucket, old_key = split_uri(f"{uri.rstrip('/')}/{name}")
        s3.copy(
            {"Bucket": old_bucket, "Key": old_key},
            bucket,
            key,
            ExtraArgs={"Metadata": {"sha256": sums.get(name, "")}, "MetadataDirective": "REPLACE"},
        )


def put_file(s3: Any, uri: str, content: Path | bytes, sha256: str) -> bool:
    """Upload a file or bytes unless the object is there with that hash; whether it was sent.

    The hash travels as metadata: S3 itself keeps none for an upload in parts.
    """
    bucket, key = split_uri(uri)
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if _is_there(s3, bucket, key, size, sha256):
        return False
    if isinstance(content, bytes):
        s3.put_object(Bucket=bucket, Key=key, Body=content, Metadata={"sha256": sha256})
    else:
        s3.upload_file(str(content), bucket, key, ExtraArgs={"Metadata": {"sha256": sha256}})
    return True


def _is_there(s3: Any, bucket: str, key: str, size: int, sha256: str) -> bool:
    try:
        found = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as trouble:
        if trouble.response["Error"]["Code"] in _MISSING:
            return False
        raise
    return (found["ContentLength"], found["Metadata"].get("sha256")) == (size, sha256)


def _stored(prepared: PreparedBase, uri: str, sent: int) -> StoredBase:
    return StoredBase(
        id=prepared.base.id,
        hash=prepared.base.hash,
        uri=uri,
        vouched=prepared.base.vouched,
        bytes=prepared.size,
        uploaded=sent,
        skipped=len(prepared.files) - sent,
        notes=prepared.notes,
    )
