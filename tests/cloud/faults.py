"""Make one operation of a real service refuse, as AWS would, without sending it."""

from __future__ import annotations

from typing import Any

from botocore.awsrequest import AWSResponse

from helpers.cloud.session import Cloud


def answer(cloud: Cloud, service: str, operation: str, members: dict[str, Any]) -> None:
    """Every call of the operation is answered with ``members``."""
    _hook(cloud, service, operation, lambda: (200, members))


def refuse(
    cloud: Cloud, service: str, operation: str, code: str, *, times: int = 1_000_000
) -> list[int]:
    """The first ``times`` calls are refused with an error ``code``; the list counts them."""
    made: list[int] = []

    def refusal() -> tuple[int, dict[str, Any]] | None:
        if len(made) == times:
            return None
        made.append(1)
        return 400, {"Error": {"Code": code, "Message": f"{operation} was refused in a test"}}

    _hook(cloud, service, operation, refusal)
    return made


def _hook(cloud: Cloud, service: str, operation: str, answered: Any) -> None:
    client = cloud.client(service)

    def before_call(**_: object) -> tuple[AWSResponse, dict[str, Any]] | None:
        found = answered()
        if found is None:
            return None
        status, members = found
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
        return AWSResponse("", status, {}, None), {**members, "ResponseMetadata": metadata}

    name = f"before-call.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    client.meta.events.register_first(name, before_call)
