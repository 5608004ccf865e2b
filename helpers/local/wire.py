"""The two protocols that our services speak, read from botocore's own service models.

Control planes: ``json`` (operation in ``X-Amz-Target``, everything in the body). Runtime:
``rest-json`` (parameters in path and headers, the body is the payload).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import unquote

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from werkzeug.wrappers import Request, Response

from helpers.local.constraints import summary, violations


class Refusal(Exception):
    """An answer that botocore turns into a ``ClientError`` with this code and message."""

    def __init__(self, code: str, message: str, *, status: int = 400, **members: Any) -> None:
        self.code, self.message, self.status, self.members = code, message, status, members
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One validated request: the operation's name, its parameters, and the payload if any."""

    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


@cache
def service_model(name: str) -> Any:
    """botocore's ``ServiceModel``; its lazily computed properties carry no types."""
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


_INVALID = {
    "sagemaker": "ValidationException",
    "service-quotas": "IllegalArgumentException",
    "pricing": "InvalidParameterException",
    "codebuild": "InvalidInputException",
    "application-autoscaling": "ValidationException",
}
"""How each service calls a request that does not fit its shape."""


def read_control_call(request: Request, service: str = "sagemaker") -> Call:
    """Parse and validate a control-plane request, of botocore's ``service``. Raises ``Refusal``."""
    known = service_model(service)
    prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if prefix != known.metadata["targetPrefix"] or operation not in known.operation_names:
        raise Refusal(
            "UnknownOperationException", f"{known.metadata['serviceId']} has no such operation."
        )
    model = known.operation_model(operation)
    try:
        parameters = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError):
        raise Refusal("SerializationException", "The request body is not JSON.") from None
    if not isinstance(parameters, dict):
        raise Refusal("SerializationException", "The request body is not a JSON object.")
    _validate(parameters, model, _INVALID[service])
    return Call(operation=operation, parameters=parameters)


def perform(service: object, call: Call) -> dict[str, Any]:
    """Call the method that is named after the operation. Raises ``Refusal`` if there is none."""
    operation = getattr(service, f"_{xform_name(call.operation)}", None)
    if operation is None:
        raise Refusal(
            "UnknownOperationException", f"The local service does not answer {call.operation}."
        )
    return operation(call.parameters)


def read_runtime_call(request: Request) -> Call:
    """Parse and validate a runtime request. Raises ``Refusal``."""
    runtime = service_model("sagemaker-runtime")
    for operation in runtime.operation_names:
        model = runtime.operation_model(operation)
        place = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", model.http["requestUri"])
        match = re.fullmatch(place, request.path)
        if match and request.method == model.http["method"]:
            parameters, payload = _located(model, match.groupdict(), request), request.get_data()
            carried = {model.input_shape.serialization["payload"]: payload} if payload else {}
            _validate({**parameters, **carried}, model, "ValidationError")
            return Call(operation=operation, parameters=parameters, payload=payload)
    raise Refusal("UnknownOperationException", "SageMaker Runtime has no such operation.")


def _located(model: Any, path: Mapping[str, str], request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, shape in model.input_shape.members.items():
        where = shape.serialization.get("location")
        if where == "uri":
            found[name] = unquote(path[name])
        elif where == "header":
            text = request.headers.get(shape.serialization["name"])
            if text:
                is_number = shape.type_name == "integer" and re.fullmatch(r"-?\d+", text)
                found[name] = int(text) if is_number else text
    return found


def _validate(parameters: dict[str, Any], model: Any, code: str) -> None:
    if found := violations(parameters, model.input_shape):
        raise Refusal(code, summary(found))


def answer_control(members: Mapping[str, Any]) -> Response:
    """A JSON answer; members that are ``None`` are left out, times are epoch seconds."""
    return Response(_json(members), 200, content_type="application/x-amz-json-1.1")


def answer_refusal(refusal: Refusal) -> Response:
    """The error shape that both protocols share."""
    body = {"__type": refusal.code, "Message": refusal.message, "message": refusal.message}
    return Response(
        _json(body | refusal.members),
        refusal.status,
        {"x-amzn-ErrorType": refusal.code},
        content_type="application/x-amz-json-1.1",
    )


def _json(members: Mapping[str, Any]) -> str:
    return json.dumps(
        {name: value for name, value in members.items() if value is not None}, default=_epoch
    )


def _epoch(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(type(value).__name__)
