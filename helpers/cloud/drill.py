"""A drill: let single operations of a real account be refused, to see what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSResponse

from helpers.cloud.session import Cloud

Answer = tuple[int, dict[str, Any]]


@contextmanager
def answered(
    cloud: Cloud, service: str, operation: str, answer: Callable[[], Answer | None]
) -> Iterator[None]:
    """Inside the block ``answer`` is asked instead of AWS; what it answers with ``None`` is sent.

    An answer is an HTTP status and the members of the response. Only this cloud's client hears it.
    """
    meta = cloud.client(service).meta

    def before_call(**_: object) -> tuple[AWSResponse, dict[str, Any]] | None:
        found = answer()
        if found is None:
            return None
        status, members = found
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
        return AWSResponse("", status, {}, None), {**members, "ResponseMetadata": metadata}

    name = f"before-call.{meta.service_model.service_id.hyphenize()}.{operation}"
    meta.events.register_first(name, before_call)
    try:
        yield
    finally:
        meta.events.unregister(name, before_call)


@contextmanager
def refused(
    cloud: Cloud, service: str, operation: str, *, code: str = "AccessDenied"
) -> Iterator[None]:
    """Inside the block the operation is refused with the error ``code``, and nothing is sent."""
    message = f"{operation} is refused in this drill"
    with answered(
        cloud, service, operation, lambda: (400, {"Error": {"Code": code, "Message": message}})
    ):
        yield
