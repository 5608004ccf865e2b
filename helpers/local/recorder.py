"""Every request as botocore is about to send it: written down, and judged as AWS would judge it.

``record`` hangs two hooks on a session or a client. They see the parameters of each call, whatever
the service, before anything is sent: also those that a stand-in for the service ignores.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse

from helpers.local.constraints import summary, violations

_REFUSED = "avatar_refused"
_CODES = (
    "InvalidParameterException", "InvalidParameter", "InvalidInputException",
    "IllegalArgumentException", "InvalidParameterValueException", "ValidationException",
    "ValidationError",
)  # fmt: skip
"""Errors by which AWS services refuse a parameter; the first that an operation declares is its."""


@dataclass(frozen=True, kw_only=True)
class SentRequest:
    """One request: ``service`` as boto3 names it, and what AWS would find wrong with it."""

    service: str
    operation: str
    parameters: dict[str, Any]
    faults: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(vars(self), default=_in_words)

    @classmethod
    def from_json(cls, text: str) -> SentRequest:
        line = json.loads(text)
        return cls(**{**line, "faults": tuple(line["faults"])})


def record(
    events: Any, tell: Callable[[SentRequest], None] | None = None, *, refuse: bool = False
) -> None:
    """Watch every call of a session (``session.events``) or a client (``client.meta.events``).

    ``tell`` gets each request. With ``refuse`` a call whose parameters AWS would not accept ends
    in the ``ClientError`` that AWS would answer, and is not sent. (What botocore itself finds
    first, such as an unknown parameter, raises ``ParamValidationError`` here as it does on AWS.)
    """

    def judge(params: Any, model: Any, context: Any, **_: Any) -> None:
        shape = model.input_shape
        faults = tuple(violations(params, shape)) if shape else ()
        request = SentRequest(
            service=model.service_model.service_name,
            operation=model.name,
            parameters=dict(params),
            faults=faults,
        )
        if refuse and faults:
            context[_REFUSED] = request
        if tell:
            tell(request)

    def answer(model: Any, context: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        request = context.get(_REFUSED)
        return _refusal(model, request) if request else None

    # Last, so that we see what the other hooks made of the parameters.
    events.register_last("before-parameter-build", judge)
    if refuse:
        events.register_first("before-call", answer)


def append_to(path: Path) -> Callable[[SentRequest], None]:
    """A listener for ``record`` that adds a line of JSON to a file, from any number of processes.

    Of bytes only their number is kept, and of files only that there was one.
    """

    def tell(request: SentRequest) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{request.to_json()}\n")

    return tell


def read_requests(path: Path) -> list[SentRequest]:
    """What ``append_to`` wrote; empty when nothing was sent."""
    if not path.exists():
        return []
    return [SentRequest.from_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _refusal(model: Any, request: SentRequest) -> tuple[AWSResponse, dict[str, Any]]:
    declared = {shape.error_code for shape in model.error_shapes}
    usual = "Exception" if "json" in model.service_model.metadata["protocol"] else "Error"
    code = next((code for code in _CODES if code in declared), f"Validation{usual}")
    answer = {
        "Error": {"Code": code, "Message": summary(request.faults)},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {}, "RetryAttempts": 0},
    }
    return AWSResponse("", 400, {}, None), answer


def _in_words(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    return f"<{type(value).__name__}>" if hasattr(value, "read") else str(value)
