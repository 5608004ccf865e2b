"""Make one operation of a real service answer as AWS might, without sending it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse

from helpers.cloud.session import Cloud


class Faults:
    """What goes wrong with the clients of one ``cloud``, until ``end``."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._hooks: list[tuple[Any, str, Callable[..., Any]]] = []

    def answer(self, service: str, operation: str, members: dict[str, Any]) -> None:
        """Every call of the operation is answered with ``members``."""
        self._hook(service, operation, lambda: (200, members))

    def refuse(
        self, service: str, operation: str, code: str, *, times: int = 1_000_000
    ) -> list[int]:
        """The first ``times`` calls are refused with the error ``code``; the list counts them."""
        made: list[int] = []

        def refusal() -> tuple[int, dict[str, Any]] | None:
            if len(made) == times:
                return None
            made.append(1)
            return 400, {"Error": {"Code": code, "Message": f"{operation} was refused in a test"}}

        self._hook(service, operation, refusal)
        return made

    def end(self) -> None:
        for events, name, hook in self._hooks:
            events.unregister(name, hook)
        self._hooks.clear()

    def _hook(self, service: str, operation: str, answered: Callable[[], Any]) -> None:
        meta = self._cloud.client(service).meta

        def before_call(**_: object) -> tuple[AWSResponse, dict[str, Any]] | None:
            found = answered()
            if found is None:
                return None
            status, members = found
            metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
            return AWSResponse("", status, {}, None), {**members, "ResponseMetadata": metadata}

        name = f"before-call.{meta.service_model.service_id.hyphenize()}.{operation}"
        meta.events.register_first(name, before_call)
        self._hooks.append((meta.events, name, before_call))
