"""Deploy the three kinds of endpoint, wait until they serve, delete them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from botocore.exceptions import ClientError

from helpers.cloud.deployment import STARTUP_S, Deployment, create, in_words, refusal, staged
from helpers.cloud.environment import LATER_BASE, SERVING_BASE, SHARED_MEMORY, TRITON_ARGUMENTS
from helpers.cloud.kinds import Busy
from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import Resource, exists, remove
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError

MAX_REQUEST_BYTES = 512 * 1024**2


def deploy_async(
    cloud: Cloud,
    ledger: Ledger,
    *,
    name: str,
    image: str,
    model_data: str | Path,
    instance_type: str,
    success_topic: str = "",
    error_topic: str = "",
    max_concurrent: int = 1,
    environment: Mapping[str, str] | None = None,
    instance_count: int = 1,
) -> Deployment:
    """Create an asynchronous endpoint and return at once; see ``wait_in_service``.

    ``model_data`` is the S3 location of an archive, a local archive, which is uploaded first, or
    an S3 prefix (it ends with a slash), whose files the container finds as they are. The endpoint
    works on ``max_concurrent`` requests per instance at a time and writes below
    ``cloud.uri("async", name)``. Raises ``ServiceError`` when AWS refuses.
    """
    full = cloud.name(name)
    topics = {"SuccessTopic": success_topic, "ErrorTopic": error_topic}
    outputs = {
        "S3OutputPath": cloud.uri("async", full, "output"),
        "S3FailurePath": cloud.uri("async", full, "failure"),
        "NotificationConfig": {key: arn for key, arn in topics.items() if arn},
    }
    return create(
        cloud,
        ledger,
        full,
        container={
            "Image": image,
            **staged(cloud, ledger, full, model_data),
            # DJL takes 64 MB by default, less than a dozen photos straight from a phone.
            "Environment": {
                "SERVING_MAX_REQUEST_SIZE": str(MAX_REQUEST_BYTES),
                **(environment or {}),
            },
        },
        instance_type=instance_type,
        instance_count=instance_count,
        more={
            "AsyncInferenceConfig": {
                "ClientConfig": {"MaxConcurrentInvocationsPerInstance": max_concurrent},
                "OutputConfig": outputs,
            }
        },
    )


REAL_TIME = {
    "SAGEMAKER_PROGRAM": "inference.py",
    # The server's own choice is one for each GPU, or for each core: as many bases in memory.
    "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    # Of one request, and of loading the base too. Without _SECONDS the number would be minutes.
    "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "900",
    # Above SageMaker's 6,291,456: an answer that slips through is refused, and costs no worker.
    "MMS_MAX_RESPONSE_SIZE": "20000000",
    "HF_HUB_OFFLINE": "1",
}
"""What the Hugging Face container is told; every name is one of its own server or libraries."""


def deploy_real_time(
    cloud: Cloud,
    ledger: Ledger,
    *,
    name: str,
    image: str,
    model_data: str | Path,
    instance_type: str,
    environment: Mapping[str, str] | None = None,
    instance_count: int = 1,
) -> Deployment:
    """Create a real-time endpoint and return at once; see ``wait_in_service``.

    ``model_data`` is an S3 location or a local archive, which is uploaded first. A call has 60 s,
    request and answer 6,291,456 bytes each: more goes through ``deploy_async``. Raises
    ``ServiceError`` when AWS refuses.
    """
    full = cloud.name(name)
    return create(
        cloud,
        ledger,
        full,
        container={
            "Image": image,
            **staged(cloud, ledger, full, model_data),
            "Environment": {**REAL_TIME, **(environment or {})},
        },
        instance_type=instance_type,
        instance_count=instance_count,
        more={},
    )


def deploy_multi_model(
    cloud: Cloud,
    ledger: Ledger,
    *,
    name: str,
    image: str,
    model_prefix: str,
    instance_type: str,
    environment: Mapping[str, str] | None = None,
    instance_count: int = 1,
    shared_base: Literal["image", "setup"] = "image",
) -> Deployment:
    """Create a multi-model endpoint on every archive below ``model_prefix``, and return at once.

    ``shared_base`` says where the base is: in the ``image``, which loads it when it starts, or in
    ``model_setup.tar.gz`` below the prefix, which is invoked first and prepares the one instance
    that answers. Raises ``ServiceError`` when AWS refuses, and for two instances without an image.
    """
    if shared_base == "setup" and instance_count != 1:
        raise ServiceError(
            "model_setup cannot prepare more than one instance",
            "an invocation reaches one of them, and nobody can choose which",
            "build a serving image, or ask for one instance",
        )
    arguments = SERVING_BASE if shared_base == "image" else LATER_BASE
    return create(
        cloud,
        ledger,
        cloud.name(name),
        container={
            "Image": image,
            "Mode": "MultiModel",
            "ModelDataUrl": f"{model_prefix.rstrip('/')}/",
            # An endpoint's /dev/shm holds 64 MB: at Triton's 16 MB default, four avatars.
            "Environment": {
                SHARED_MEMORY: "1048576",
                TRITON_ARGUMENTS: arguments,
                **(environment or {}),
            },
        },
        instance_type=instance_type,
        instance_count=instance_count,
        more={},
    )


def delete_deployment(cloud: Cloud, ledger: Ledger, deployment: Deployment) -> float:
    """Delete an endpoint and what it was made of; returns the seconds until all three were gone.

    Its log and its archive stay: notebook 09 removes them. Raises ``ServiceError`` when AWS
    refuses, and after half an hour; what is left then is still in the ledger.
    """
    began = time.monotonic()
    for kind, name in (
        ("endpoint", deployment.endpoint),
        ("endpoint-config", deployment.config),
        ("model", deployment.model),
    ):
        resource = Resource(kind=kind, name=name)
        with in_words(f"the {kind} {name} cannot be deleted"):
            while exists(cloud, resource):
                with suppress(Busy):
                    remove(cloud, resource)
                if time.monotonic() - began > STARTUP_S:
                    raise ServiceError(f"the {kind} {name} is still there", "", "try once more")
                time.sleep(cloud.pause(5))
        ledger.removed(kind, name)
    return time.monotonic() - began


def wait_in_service(cloud: Cloud, name: str, *, timeout_s: float = STARTUP_S) -> float:
    """Wait until the endpoint serves; returns the seconds that took.

    Raises ``ServiceError`` with AWS's reason when it fails, and after ``timeout_s``.
    """
    full, began = cloud.name(name), time.monotonic()
    while True:
        try:
            found = cloud.client("sagemaker").describe_endpoint(EndpointName=full)
        except ClientError as trouble:
            raise refusal(f"the endpoint {full} is not there", trouble) from trouble
        status, waited = found["EndpointStatus"], time.monotonic() - began
        if status == "InService":
            return waited
        if status in ("Failed", "OutOfService", "Deleting"):
            raise ServiceError(
                f"the endpoint {full} is {status}",
                found.get("FailureReason", ""),
                "read its log with helpers.cloud.logs.read_logs, then clean up and deploy again",
            )
        if waited > timeout_s:
            raise ServiceError(f"the endpoint {full} is still {status} after {timeout_s:.0f} s")
        time.sleep(cloud.pause(10))
