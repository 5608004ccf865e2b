"""Addresses of S3 objects."""

from __future__ import annotations

from helpers.errors import ServiceError


def split_uri(uri: str) -> tuple[str, str]:
    """``s3://bucket/key`` as (bucket, key). Raises ``ServiceError`` for anything else."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ServiceError(f"{uri!r} is no S3 location", "it must read s3://bucket/key")
    return bucket, key
