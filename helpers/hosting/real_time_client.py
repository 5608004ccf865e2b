"""The caller's side of the real-time endpoint: a prompt goes out, pictures come back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from helpers.errors import ServiceError
from helpers.hosting.client import shown, spoken_error
from helpers.hosting.picture import Painted
from helpers.strict_json import parse

CONTENT_TYPE = "application/json"


class RealTimeClient:
    """Paints through ``invoke_endpoint``; ``runtime`` is a boto3 ``sagemaker-runtime`` client."""

    def __init__(self, runtime: Any, endpoint_name: str) -> None:
        self._runtime, self.endpoint_name = runtime, endpoint_name

    def paint(self, prompt: str | list[str], **arguments: Any) -> list[Painted]:
        """Pictures of one prompt, or of several, prompt by prompt.

        ``arguments`` are those of ``RealTimeRequest``: ``negative_prompt``,
        ``num_images_per_prompt``, ``seed``, ``height``, ``width``, ``num_inference_steps``,
        ``guidance_scale``. Raises ``GenerationError`` (a refused request), ``SafetyError`` (all
        pictures held back) and ``ServiceError`` (endpoint down, too slow, request or answer too
        large).
        """
        body = json.dumps({"prompt": prompt, **arguments}).encode()
        try:
            answer = self._runtime.invoke_endpoint(
                EndpointName=self.endpoint_name,
                ContentType=CONTENT_TYPE,
                Accept=CONTENT_TYPE,
                Body=body,
            )
        except ClientError as error:
            raise spoken_error(error) from error
        return shown(decode_answer(answer["Body"].read()))


def decode_answer(body: bytes) -> list[Painted]:
    """The pictures of an answer, with what they say of themselves and which words were not read.

    Raises ``ServiceError`` for an answer of another service, ``GenerationError`` for no picture.
    """
    try:
        answer = parse(body)
        images, unread = list(answer["generated_images"]), answer.get("unread")
        per_prompt = int(answer.get("num_images_per_prompt", 1))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise ServiceError(
            "The endpoint's answer has no generated_images",
            "another model answers behind this name",
            "Check which endpoint you invoked",
        ) from None
    painted = [Painted.from_base64(text) for text in images]
    if not isinstance(unread, list) or len(unread) * per_prompt < len(painted):
        return painted
    return [
        replace(one, info={**one.info, "unread": unread[number // per_prompt]})
        for number, one in enumerate(painted)
    ]
