"""``ModelDataSource``: model data as it lies in S3, an archive, one file or all below a prefix.

The rules are those of the API's documentation (botocore's service model); the words are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from helpers.local.context import Context, split_s3
from helpers.local.hosts import ModelDataError, is_multi_model
from helpers.local.wire import Refusal


def check_source(context: Context, container: dict[str, Any]) -> None:
    """What CreateModel checks of it. Raises ``Refusal``."""
    if why := _refused(container):
        raise Refusal("ValidationException", why)
    source = container["ModelDataSource"]["S3DataSource"]
    if not keys_of(context, source, at_most=1):
        raise Refusal("ValidationException", f"Could not find model data at {source['S3Uri']}.")


def _refused(container: dict[str, Any]) -> str:
    source = container["ModelDataSource"].get("S3DataSource")
    if is_multi_model(container):
        return "ModelDataSource cannot be used with a multi-model endpoint."
    if not source:
        return "The ModelDataSource names no S3DataSource."
    if container.get("ModelDataUrl"):
        return "A container takes ModelDataUrl or ModelDataSource, not both."
    if container.get("AdditionalModelDataSources"):
        return "The local SageMaker reads one ModelDataSource."
    if not source["S3Uri"].startswith("s3://"):
        return "The S3Uri of a ModelDataSource must be an S3 location."
    if source["S3DataType"] == "S3Prefix" and not source["S3Uri"].endswith("/"):
        return "A valid key name prefix identified by S3Uri always ends with a forward slash."
    if source["S3DataType"] == "S3Prefix" and source["CompressionType"] == "Gzip":
        return "CompressionType Gzip needs an S3Object."
    return ""


def keys_of(context: Context, source: dict[str, Any], *, at_most: int | None = None) -> list[str]:
    """The keys that the source names and that are there."""
    bucket, key = split_s3(source["S3Uri"])
    pages = (
        context.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(
            Bucket=bucket, Prefix=key, PaginationConfig={"MaxItems": at_most} if at_most else {}
        )
    )
    found = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return found if source["S3DataType"] == "S3Prefix" else [one for one in found if one == key]


def file_names(source: dict[str, Any], keys: Iterable[str]) -> dict[str, str]:
    """Each key's path below the model folder.

    Raises ``ModelDataError``, as SageMaker fails a deployment, for a key that makes no file name
    and for a name that is a file and a folder at once.
    """
    _, key = split_s3(source["S3Uri"])
    above = key if source["S3DataType"] == "S3Prefix" else key[: key.rfind("/") + 1]
    names = {one: one.removeprefix(above) for one in keys}
    folders: set[str] = set()
    for name in names.values():
        parts = name.split("/")
        if any(
            part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255 for part in parts
        ):
            raise ModelDataError(f"The key {above}{name} makes no file name in the model's folder.")
        folders |= {"/".join(parts[:count]) for count in range(1, len(parts))}
    if clash := folders.intersection(names.values()):
        raise ModelDataError(f"{min(clash)} is a file and a folder of the model data at once.")
    if not names:
        raise ModelDataError(f"There is no model data at {source['S3Uri']}.")
    return names
