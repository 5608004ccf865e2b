"""SageMaker's runtime: synchronous and asynchronous invocations."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

from werkzeug.wrappers import Response

from helpers.local.async_queue import (
    DEFAULT_TIMEOUT_S,
    DEFAULT_TTL_S,
    AsyncRequest,
    model_error,
)
from helpers.local.context import Context, split_s3
from helpers.local.control_plane import ControlPlane
from helpers.local.endpoint import Endpoint
from helpers.local.fleet import Variant, log_group
from helpers.local.hosts import (
    Answer,
    Invocation,
    InvocationTimeout,
    TargetNotReady,
    UnknownTarget,
)
from helpers.local.wire import Call, Refusal

MAX_BODY_BYTES = 6_291_456
MAX_INLINE_BYTES = 128_000
SYNC_TIMEOUT_S = 60


class DataPlane:
    """Sends invocations to the endpoints of a control plane.

    ``sync_timeout_s`` is how long a container may take over a real-time call.
    """

    def __init__(
        self, context: Context, control: ControlPlane, *, sync_timeout_s: float = SYNC_TIMEOUT_S
    ) -> None:
        self._context, self._control = context, control
        self._sync_timeout_s = sync_timeout_s

    def answer(self, call: Call) -> Response:
        """Do what a runtime call asks. Raises ``Refusal``."""
        endpoint = self._control.endpoints.find(call.parameters["EndpointName"])
        if endpoint is None or not endpoint.serves:
            name = call.parameters["EndpointName"]
            raise _invalid(f"Endpoint {name} of account {self._context.account} not found.")
        if call.operation == "InvokeEndpoint":
            return self._invoke(endpoint, call)
        if call.operation == "InvokeEndpointAsync":
            return self._invoke_async(endpoint, call)
        raise Refusal(
            "UnknownOperationException", f"The local SageMaker does not answer {call.operation}."
        )

    def _invoke(self, endpoint: Endpoint, call: Call) -> Response:
        asked = call.parameters
        if endpoint.asynchronous:
            raise _invalid(
                f"Endpoint {endpoint.name} is an asynchronous endpoint: it takes "
                "InvokeEndpointAsync, not InvokeEndpoint."
            )
        if len(call.payload) > MAX_BODY_BYTES:
            raise Refusal(
                "413", f"HTTP content length exceeded {MAX_BODY_BYTES} bytes.", status=413
            )
        variant = _choose(endpoint, asked.get("TargetVariant"))
        target = _target(endpoint, variant, asked.get("TargetModel"))
        invocation = Invocation(
            body=call.payload,
            content_type=asked.get("ContentType", "application/octet-stream"),
            accept=asked.get("Accept", ""),
            custom_attributes=asked.get("CustomAttributes", ""),
            inference_id=asked.get("InferenceId", ""),
            target_model=target,
        )
        try:
            answer = variant.next_instance().invoke(invocation, self._sync_timeout_s)
        except InvocationTimeout:
            raise self._model_error(
                endpoint,
                "Your invocation timed out while waiting for a response from container primary. "
                "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
                "issue, and try again.",
                status=0,
                said="",
            ) from None
        except UnknownTarget:
            raise _invalid(_no_such_model(variant, target)) from None
        except TargetNotReady:
            raise Refusal(
                "ModelNotReadyException", f"Model {target} is not ready, ask again.", status=429
            ) from None
        if len(answer.body) > MAX_BODY_BYTES:
            # AWS documents the limit, not the words; ours say it.
            said = f"The response has {len(answer.body)} bytes, the limit is {MAX_BODY_BYTES}."
            answer = Answer(status=500, body=said.encode())
        if not answer.ok:
            said = answer.body.decode("utf-8", "replace")
            raise self._model_error(
                endpoint, model_error(endpoint.name, answer), status=answer.status, said=said
            )
        return Response(
            answer.body,
            200,
            {"x-Amzn-Invoked-Production-Variant": variant.name},
            content_type=answer.content_type,
        )

    def _invoke_async(self, endpoint: Endpoint, call: Call) -> Response:
        asked = call.parameters
        config = endpoint.asynchronous
        if config is None or endpoint.queue is None:
            raise _invalid(
                f"Endpoint {endpoint.name} is not an asynchronous endpoint: its configuration has "
                "no AsyncInferenceConfig."
            )
        if bool(call.payload) == ("InputLocation" in asked):
            raise _invalid("Specify exactly one of InputLocation and Body.")
        if len(call.payload) > MAX_INLINE_BYTES:
            raise _invalid(f"The inline Body is limited to {MAX_INLINE_BYTES:,} bytes.")
        output, failure = _locations(config["OutputConfig"], asked)
        request = AsyncRequest(
            endpoint=endpoint.name,
            inference_id=asked.get("InferenceId") or str(uuid.uuid4()),
            input_location=asked.get("InputLocation", ""),
            output_location=output,
            failure_location=failure,
            content_type=asked.get("ContentType", "application/octet-stream"),
            accept=asked.get("Accept", ""),
            custom_attributes=asked.get("CustomAttributes", ""),
            body=call.payload or None,
            timeout_s=asked.get("InvocationTimeoutSeconds", DEFAULT_TIMEOUT_S),
            ttl_s=asked.get("RequestTTLSeconds", DEFAULT_TTL_S),
        )
        endpoint.queue.put(request)
        return Response(
            json.dumps({"InferenceId": request.inference_id}),
            202,
            {
                "X-Amzn-SageMaker-OutputLocation": request.output_location,
                "X-Amzn-SageMaker-FailureLocation": request.failure_location,
            },
            content_type="application/json",
        )

    def _model_error(self, endpoint: Endpoint, message: str, *, status: int, said: str) -> Refusal:
        where = (
            f"{self._context.region}:{self._context.account}:log-group:{log_group(endpoint.name)}"
        )
        return Refusal(
            "ModelError",
            message,
            status=424,
            OriginalStatusCode=status,
            OriginalMessage=said,
            LogStreamArn=f"arn:aws:logs:{where}",
        )


def _choose(endpoint: Endpoint, wanted: str | None) -> Variant:
    ready = [variant for variant in endpoint.variants if variant.instances]
    if wanted:
        ready = [variant for variant in ready if variant.name == wanted]
        if not ready:
            raise _invalid(f"Variant {wanted} not found for Request.")
    weights = [variant.weight for variant in ready]
    if not ready or not (wanted or any(weights)):
        raise Refusal("ServiceUnavailable", "No instance serves this endpoint now.", status=503)
    return ready[0] if wanted else random.choices(ready, weights)[0]


def _target(endpoint: Endpoint, variant: Variant, target: str | None) -> str:
    if variant.multi_model and not target:
        raise _invalid(
            f"Endpoint {endpoint.name} is a multi-model endpoint and the request names no target "
            "model: set TargetModel to a key below the model's S3 prefix."
        )
    if target and not variant.multi_model:
        raise _invalid(
            f"Endpoint {endpoint.name} is not a multi-model endpoint and does not support target "
            "model header."
        )
    return target or ""


def _no_such_model(variant: Variant, target: str) -> str:
    bucket, prefix = split_s3(variant.container["ModelDataUrl"])
    key = f"{prefix.rstrip('/')}/{target}".lstrip("/")
    return (
        f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is "
        "an object located at the URL and that the role passed to CreateModel has permissions to "
        "download the model."
    )


def _locations(config: dict[str, Any], asked: dict[str, Any]) -> tuple[str, str]:
    number = str(uuid.uuid4())
    folder = config["S3OutputPath"].rstrip("/")
    if extension := asked.get("S3OutputPathExtension", "").strip("/"):
        folder = f"{folder}/{extension}"
    output = f"{folder}/{asked.get('Filename') or f'{number}.out'}"
    failures = config.get("S3FailurePath", config["S3OutputPath"]).rstrip("/")
    return output, f"{failures}/{number}-error.out"


def _invalid(message: str) -> Refusal:
    return Refusal("ValidationError", message)
