"""A small object beside the photos for each job: which photos it had, and where its answer goes.

A job's request may expire and its failure names no job, so without this an adapter could not be
traced to its photos, nor photos to every adapter that learned them. It holds hashes, no picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from helpers.archives import read_members
from helpers.cloud.session import Cloud
from helpers.errors import ArchiveError

FOLDER = "records"
PICTURES = (".jpg", ".jpeg", ".png")


def write_record(
    cloud: Cloud, inference_id: str, photos: Iterable[str], places: Iterable[str] = ()
) -> str:
    """Write, or replace, the record of a job; returns its address.

    ``photos`` as ``photo_hashes`` gives them, ``places``: S3 addresses that belong to the job.
    """
    about = {"inference_id": inference_id, "photos": sorted(photos), "places": sorted(places)}
    key = f"{cloud.prefix}/{FOLDER}/{inference_id}.json"
    cloud.client("s3").put_object(Bucket=cloud.bucket, Key=key, Body=json.dumps(about).encode())
    return f"s3://{cloud.bucket}/{key}"


def photo_hashes(request: Path) -> list[str]:
    """SHA-256 of each photo in a request archive; none for a request of another kind."""
    try:
        members = read_members(request)
    except ArchiveError:
        return []
    return [
        hashlib.sha256(content).hexdigest()
        for name, content in members.items()
        if name.lower().endswith(PICTURES)
    ]
