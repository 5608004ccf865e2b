"""The message that ends an asynchronous invocation, in the shape that AWS documents."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from helpers.local.context import Context
from helpers.local.hosts import Answer
from helpers.local.store import now

if TYPE_CHECKING:
    from helpers.local.async_queue import AsyncRequest

MAX_RESPONSE_BYTES = 128 * 1024
MAX_REASON = 1024


@dataclass(frozen=True, kw_only=True)
class Notice:
    """An invocation that has ended: with an answer, or with a failure in words."""

    request: AsyncRequest
    answer: Answer | None = None
    failure: str = ""


def compose(context: Context, config: dict[str, Any], notice: Notice) -> tuple[str, str]:
    """The topic that shall hear of it, success or error (empty: none), and the message."""
    kind = "SUCCESS_NOTIFICATION_TOPIC" if notice.answer else "ERROR_NOTIFICATION_TOPIC"
    topic = config.get("SuccessTopic" if notice.answer else "ErrorTopic", "")
    text = message(
        context.region, notice, with_response=kind in config.get("IncludeInferenceResponseIn", [])
    )
    return topic, json.dumps(text)


def send(context: Context, topic: str, text: str) -> None:
    """A topic that cannot be reached costs the message, not the result."""
    try:
        context.client("sns").publish(TopicArn=topic, Message=text)
    except Exception as trouble:
        print(f"no message to {topic}: {trouble}", flush=True)


def message(region: str, notice: Notice, *, with_response: bool = False) -> dict[str, Any]:
    """The message as a mapping."""
    request = notice.request
    body: dict[str, Any] = {
        "awsRegion": region,
        "eventTime": _stamp(now()),
        "receivedTime": _stamp(request.received),
        "invocationStatus": "Completed" if notice.answer else "Failed",
        "requestParameters": {
            "accept": request.accept or None,
            "contentType": request.content_type,
            "endpointName": request.endpoint,
            "inputLocation": request.input_location,
        },
        "inferenceId": request.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if notice.answer:
        body["responseParameters"] = {
            "contentType": notice.answer.content_type,
            "outputLocation": request.output_location,
        }
        if with_response and len(notice.answer.body) <= MAX_RESPONSE_BYTES:
            body["responseBody"] = _inline(notice.answer.body)
    else:
        body["failureReason"] = notice.failure[:MAX_REASON]
    body["requestParameters"] = {k: v for k, v in body["requestParameters"].items() if v}
    return body


def _inline(body: bytes) -> dict[str, str]:
    try:
        return {"content": body.decode("utf-8"), "encoding": "UTF-8"}
    except UnicodeDecodeError:
        return {"content": base64.b64encode(body).decode(), "encoding": "BASE64"}


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
