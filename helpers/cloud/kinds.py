"""What a kind of resource must be able to do to be cleaned up, and how AWS's refusals are read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import (
    ClientError,
    ConnectionError,
    HTTPClientError,
)

from helpers.cloud.session import COURSE_TAG, OWNER_TAG, Cloud

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of resource, known to its service by one name each.

    ``find``    the learner's, by their names: needs neither ledger nor tag index
    ``exists``  whether one is there
    ``remove``  asks for its removal, which may take a while. Raises ``Busy`` and ``NotOurs``.
    ``after``   kinds to wait for, unless they cannot be removed at all
    ``held_by`` kinds that need it: it stays while one of them cannot be removed
    """

    find: Callable[[Cloud], Iterable[str]]
    exists: Callable[[Cloud, str], bool]
    remove: Callable[[Cloud, str], None]
    after: tuple[str, ...] = ()
    held_by: tuple[str, ...] = ()


class Busy(Exception):
    """It cannot be removed at the moment; ask again."""


class NotOurs(Exception):
    """It stays, because others use it."""


def is_missing(trouble: ClientError) -> bool:
    """Whether a service says that the thing is not there, in one of its many ways."""
    error = trouble.response["Error"]
    return error.get("Code", "") in _MISSING or bool(_NOT_FOUND.search(error.get("Message", "")))


def is_passing(trouble: Exception) -> bool:
    """Whether the same call may succeed a moment later: throttled, interrupted, service down."""
    if not isinstance(trouble, ClientError):
        return isinstance(trouble, (ConnectionError, HTTPClientError))
    status = trouble.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return trouble.response["Error"].get("Code", "") in _PASSING or status == 429 or status >= 500


def patiently(cloud: Cloud, call: Callable[..., Answer], *arguments: Any) -> Answer:
    """The call's answer; tried again, after longer and longer pauses, while its trouble passes."""
    for wait_s in pauses(cloud):
        try:
            return call(*arguments)
        except (ClientError, ConnectionError, HTTPClientError) as trouble:
            if not is_passing(trouble):
                raise
            time.sleep(wait_s)
    return call(*arguments)


def pauses(cloud: Cloud) -> tuple[float, ...]:
    """Seconds between tries: half a minute in all on AWS, half a second in rehearsals."""
    return tuple(cloud.pause(1.0, brisk=0.02) * 2**number for number in range(5))


def starts_ours(cloud: Cloud, name: str) -> bool:
    """Whether a name is one that the course gives to this learner's things."""
    return name.lower().startswith(cloud.name_prefix)


def tagged_ours(cloud: Cloud, tags: Iterable[dict[str, str]]) -> bool:
    """Whether tags, written ``{"Key", "Value"}`` or ``{"key", "value"}``, are this learner's."""
    held = {
        tag.get("Key", tag.get("key", "")): tag.get("Value", tag.get("value", "")) for tag in tags
    }
    return COURSE_TAG in held and held.get(OWNER_TAG) == cloud.settings.learner


def pages(cloud: Cloud, service: str, operation: str, key: str, **asked: Any) -> Iterable[Any]:
    """Every item of a listing, page after page."""
    listing = cloud.client(service).get_paginator(operation)
    for page in listing.paginate(**asked):
        yield from page.get(key, [])


_MISSING = {
    "404", "NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NoSuchTagSet",
    "NotFound", "NotFoundException", "ResourceNotFound", "ResourceNotFoundException",
    "ObjectNotFoundException", "RepositoryNotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist",
    # A service that does not know the operation cannot hold what it is about.
    "UnknownOperationException",
}  # fmt: skip
_NOT_FOUND = re.compile(r"Could not find|[Nn]ot found|No scal\w+ (policy|target) found")
_PASSING = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
    "RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
    "LimitExceededException", "BandwidthLimitExceeded", "SlowDown", "PriorRequestNotComplete",
    "RequestTimeout", "RequestTimeoutException", "ServiceUnavailable",
    "ServiceUnavailableException", "InternalError", "InternalFailure", "InternalServerException",
    "InternalServiceException", "ServerException", "ConcurrentUpdateException",
    "ConcurrentAccess", "OperationAborted", "OperationAbortedException",
}  # fmt: skip
