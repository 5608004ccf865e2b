"""The bucket, what lies below the learner's prefix in it, and uploads that never ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from helpers.cloud.kinds import Kind, NotOurs, is_missing, is_passing, pages, tagged_ours
from helpers.cloud.session import Cloud
from helpers.s3 import split_uri

NOT_PERSONAL = ("bases", "models", "progress", "serving-image")
"""Folders of the learner's prefix that hold code, public weights and empty signs. All others, also
those that this list forgot, count as personal: photos, adapters, and what was made of them."""


def is_personal(cloud: Cloud, uri: str) -> bool:
    """Whether a prefix (``s3://…/``) may hold photos, adapters or pictures of somebody."""
    folder = uri.removeprefix(cloud.uri("")).partition("/")[0]
    return folder not in NOT_PERSONAL


def versions(cloud: Cloud, uri: str) -> Iterator[dict[str, Any]]:
    """Every object below a prefix with its old versions and the markers of deleted ones."""
    bucket, prefix = split_uri(uri)
    listing = cloud.client("s3").get_paginator("list_object_versions")
    for page in listing.paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Versions", [])
        yield from page.get("DeleteMarkers", [])


def delete_versions(cloud: Cloud, bucket: str, items: Iterable[dict[str, Any]]) -> None:
    """Delete versions of objects, as many as S3 lets go. Raises ``ClientError`` for the rest: S3
    answers 200 also when some stay, and says which in the body."""
    trouble: ClientError | None = None
    remaining = iter(items)
    while some := list(islice(remaining, 1000)):
        wanted = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in some]
        answer = cloud.client("s3").delete_objects(
            Bucket=bucket, Delete={"Objects": wanted, "Quiet": True}
        )
        for refused in answer.get("Errors", []):
            refusal = ClientError(
                {"Error": {"Code": refused["Code"], "Message": _words(refused)}}, "DeleteObjects"
            )
            # One that will not pass tells more than one that will.
            if trouble is None or (is_passing(trouble) and not is_passing(refusal)):
                trouble = refusal
    if trouble is not None:
        raise trouble


def _words(refused: dict[str, Any]) -> str:
    return f"{refused['Key']}: {refused.get('Message') or refused['Code']}"


def _folders(cloud: Cloud) -> Iterator[str]:
    """``…/photos/`` and the like; the prefix itself when objects lie in no folder."""
    bucket, prefix = split_uri(cloud.uri(""))
    listing = cloud.client("s3").get_paginator("list_object_versions")
    loose = False
    for page in listing.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        for folder in page.get("CommonPrefixes", []):
            yield f"s3://{bucket}/{folder['Prefix']}"
        loose = loose or bool(page.get("Versions") or page.get("DeleteMarkers"))
    if loose:
        yield cloud.uri("")


def _has_objects(cloud: Cloud, uri: str) -> bool:
    return any(True for _ in versions(cloud, uri))


def _remove_objects(cloud: Cloud, uri: str) -> None:
    delete_versions(cloud, split_uri(uri)[0], versions(cloud, uri))


def uploads(cloud: Cloud, uri: str) -> Iterator[dict[str, Any]]:
    """Uploads that were begun and never ended: invisible in a listing, paid for all the same."""
    bucket, prefix = split_uri(uri)
    return iter(
        pages(cloud, "s3", "list_multipart_uploads", "Uploads", Bucket=bucket, Prefix=prefix)
    )


def _has_uploads(cloud: Cloud, uri: str) -> bool:
    return any(True for _ in uploads(cloud, uri))


def _abort_uploads(cloud: Cloud, uri: str) -> None:
    bucket, _ = split_uri(uri)
    s3 = cloud.client("s3")
    for upload in list(uploads(cloud, uri)):
        try:
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        except ClientError as trouble:  # ended by somebody else meanwhile
            if not is_missing(trouble):
                raise


def _own_bucket(cloud: Cloud) -> Iterator[str]:
    if _is_ours(cloud, cloud.bucket):
        yield cloud.bucket


def _is_ours(cloud: Cloud, bucket: str) -> bool:
    """Only a bucket that the course made carries its tags. Whoever makes one may read them, so one
    whose tags are hidden from us is somebody else's."""
    try:
        found = cloud.client("s3").get_bucket_tagging(
            Bucket=bucket, ExpectedBucketOwner=cloud.account
        )
    except ClientError as trouble:
        if is_missing(trouble) or trouble.response["Error"]["Code"] in ("AccessDenied", "403"):
            return False
        raise
    return tagged_ours(cloud, found["TagSet"])


def _remove_bucket(cloud: Cloud, name: str) -> None:
    """Only when nothing at all is in it."""
    s3 = cloud.client("s3")
    listed = s3.list_object_versions(Bucket=name, MaxKeys=1)
    begun = s3.list_multipart_uploads(Bucket=name, MaxUploads=1)
    if listed.get("Versions") or listed.get("DeleteMarkers") or begun.get("Uploads"):
        raise NotOurs("it holds objects, which are not the clean-up's to remove")
    try:
        s3.delete_bucket(Bucket=name)
    except ClientError as trouble:
        if trouble.response["Error"]["Code"] == "BucketNotEmpty":
            raise NotOurs("somebody put an object into it just now") from trouble
        raise


STORAGE: dict[str, Kind] = {
    "s3-uploads": Kind(
        find=lambda cloud: [cloud.uri("")] if _has_uploads(cloud, cloud.uri("")) else [],
        exists=_has_uploads,
        remove=_abort_uploads,
    ),
    # A container that still works would write into it again.
    "s3-prefix": Kind(
        find=_folders,
        exists=_has_objects,
        remove=_remove_objects,
        after=("endpoint", "training-job"),
    ),
}
BUCKET: dict[str, Kind] = {
    "bucket": Kind(
        find=_own_bucket,
        exists=_is_ours,
        remove=_remove_bucket,
        after=("s3-uploads", "s3-prefix", "build-project"),
    ),
}
