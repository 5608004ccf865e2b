"""A container's model, from S3 to its folder, as SageMaker fills ``/opt/ml/model``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.archives import unpack
from helpers.errors import CourseError
from helpers.local.context import split_s3
from helpers.local.hosts import ModelDataError, Placement
from helpers.local.model_source import file_names, keys_of

LIMIT_BYTES = 20 * 1024**3
LIMIT_MEMBERS = 50_000


def fetch_model(placement: Placement) -> Path:
    """The folder with the model's files. Raises ``ModelDataError``."""
    into = placement.folder / "model"
    into.mkdir(parents=True)
    source = placement.model.get("ModelDataSource", {}).get("S3DataSource", {})
    url = placement.model.get("ModelDataUrl") or source.get("S3Uri")
    if url and source.get("CompressionType") == "None":
        _fetch_files(placement, source, into)
    elif url:
        _fetch_archive(placement, url, into)
    return into


def _fetch_archive(placement: Placement, url: str, into: Path) -> None:
    archive = placement.folder / "model.tar.gz"
    _download(placement, *split_s3(url), archive)
    try:
        unpack(archive, into, limit_bytes=LIMIT_BYTES, limit_members=LIMIT_MEMBERS)
    except CourseError as trouble:
        raise ModelDataError(f"Failed to extract model data archive {url}: {trouble}") from trouble
    finally:
        archive.unlink(missing_ok=True)
    placement.log.write(f"[sagemaker] model data {url} unpacked")


def _fetch_files(placement: Placement, source: dict[str, Any], into: Path) -> None:
    bucket, _ = split_s3(source["S3Uri"])
    names = file_names(source, keys_of(placement.context, source))
    for key, name in names.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        _download(placement, bucket, key, into / name)
    placement.log.write(f"[sagemaker] {len(names)} files of model data from {source['S3Uri']}")


def _download(placement: Placement, bucket: str, key: str, target: Path) -> None:
    s3 = placement.context.client("s3")
    try:
        s3.download_file(bucket, key, str(target))
    except s3.exceptions.ClientError:
        raise ModelDataError(
            f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that "
            "there is an object located at the URL and that the role passed to CreateModel has "
            "permissions to download the model."
        ) from None
