"""A container's model: downloaded from S3 and unpacked, as SageMaker fills ``/opt/ml/model``."""

from __future__ import annotations

from pathlib import Path

from helpers.archives import unpack
from helpers.errors import CourseError
from helpers.local.context import split_s3
from helpers.local.hosts import ModelDataError, Placement

LIMIT_BYTES = 20 * 1024**3
LIMIT_MEMBERS = 50_000


def fetch_model(placement: Placement) -> Path:
    """The folder with the model's files. Raises ``ModelDataError``."""
    into = placement.folder / "model"
    into.mkdir(parents=True)
    url = placement.model.get("ModelDataUrl")
    if not url:
        return into
    archive = placement.folder / "model.tar.gz"
    bucket, key = split_s3(url)
    s3 = placement.context.client("s3")
    try:
        s3.download_file(bucket, key, str(archive))
    except s3.exceptions.ClientError:
        raise ModelDataError(
            f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that "
            "there is an object located at the URL and that the role passed to CreateModel has "
            "permissions to download the model."
        ) from None
    try:
        unpack(archive, into, limit_bytes=LIMIT_BYTES, limit_members=LIMIT_MEMBERS)
    except CourseError as trouble:
        raise ModelDataError(f"Failed to extract model data archive {url}: {trouble}") from trouble
    finally:
        archive.unlink(missing_ok=True)
    placement.log.write(f"[sagemaker] model data {url} unpacked")
    return into
