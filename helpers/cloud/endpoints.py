"""Deploy the two endpoints of the course and wait until they serve."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError

from helpers.cloud.costs import Estimate, estimate, expiry_tag
from helpers.cloud.environment import (
    LATER_BASE,
    SERVING_BASE,
    SHARED_MEMORY,
    TRITON_ARGUMENTS,
    check_environment,
)
from helpers.cloud.images import host_image, require_family
from helpers.cloud.instances import has_gpu
from helpers.cloud.kinds import Busy
from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import Resource, exists, remove
from helpers.cloud.session import Cloud
from helpers.errors import QuotaError, ServiceError

VARIANT = "AllTraffic"
MAX_REQUEST_BYTES = 512 * 1024**2
STARTUP_S = 1800


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The three resources that make an endpoint; the course gives them one name.

    ``estimate``: what it costs until it expires, as it was announced before the endpoint was made.
    """

    endpoint: str
    config: str
    model: str
    estimate: Estimate

    @property
    def price_per_hour(self) -> float:
        """Dollars; not a number where no price is known."""
        per_hour = self.estimate.per_hour
        return float("nan") if per_hour is None else per_hour


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
    if isinstance(model_data, Path):
        _record_prefix(cloud, ledger)
        model_data = cloud.upload(model_data, "models", f"{full}.tar.gz")
    topics = {"SuccessTopic": success_topic, "ErrorTopic": error_topic}
    outputs = {
        "S3OutputPath": cloud.uri("async", full, "output"),
        "S3FailurePath": cloud.uri("async", full, "failure"),
        "NotificationConfig": {key: arn for key, arn in topics.items() if arn},
    }
    return _deploy(
        cloud,
        ledger,
        full,
        container={
            "Image": image,
            **model_data_of(model_data),
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
    if isinstance(model_data, Path):
        _record_prefix(cloud, ledger)
        model_data = cloud.upload(model_data, "models", f"{full}.tar.gz")
    return _deploy(
        cloud,
        ledger,
        full,
        container={
            "Image": image,
            **model_data_of(model_data),
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
    return _deploy(
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
        with _words(f"the {kind} {name} cannot be deleted"):
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
            raise _refused(f"the endpoint {full} is not there", trouble) from trouble
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


def _deploy(
    cloud: Cloud,
    ledger: Ledger,
    full: str,
    *,
    container: dict[str, Any],
    instance_type: str,
    instance_count: int,
    more: dict[str, Any],
) -> Deployment:
    sagemaker = cloud.client("sagemaker")
    check_environment(container.get("Environment", {}))
    cost = estimate(cloud, f"the endpoint {full}", instance_type, count=instance_count)
    cloud.announce(str(cost))
    variant: dict[str, Any] = {
        "VariantName": VARIANT,
        "ModelName": full,
        "InstanceType": instance_type,
        "InitialInstanceCount": instance_count,
        "ContainerStartupHealthCheckTimeoutInSeconds": STARTUP_S,
    }
    if "ModelDataSource" in container:  # where a large base lies
        variant["ModelDataDownloadTimeoutInSeconds"] = STARTUP_S
    gpu = has_gpu(instance_type)
    require_family(container["Image"], instance_type, gpu=gpu)
    if host := host_image(container["Image"], gpu=gpu):
        variant["InferenceAmiVersion"] = host
    _record_prefix(cloud, ledger)
    made: list[Resource] = []
    try:
        with _words(f"the model {full} cannot be created"), ledger.creating("model", full):
            sagemaker.create_model(
                ModelName=full,
                PrimaryContainer=container,
                ExecutionRoleArn=cloud.role_arn,
                Tags=cloud.tags,
            )
        made.append(Resource(kind="model", name=full))
        with (
            _words(f"the endpoint configuration {full} cannot be created"),
            ledger.creating("endpoint-config", full),
        ):
            sagemaker.create_endpoint_config(
                EndpointConfigName=full, ProductionVariants=[variant], Tags=cloud.tags, **more
            )
        made.append(Resource(kind="endpoint-config", name=full))
        ledger.planned("log-group", f"/aws/sagemaker/Endpoints/{full}")
        with (
            _words(f"the endpoint {full} cannot be created"),
            ledger.creating(
                "endpoint",
                full,
                price_per_hour=cost.per_hour,
                instances=cost.instances,
                price_source=cost.price.source,
            ),
        ):
            sagemaker.create_endpoint(
                EndpointName=full,
                EndpointConfigName=full,
                Tags=[*cloud.tags, expiry_tag(cost.hours)],
            )
    except ServiceError:
        _take_back(cloud, ledger, made)
        raise
    return Deployment(endpoint=full, config=full, model=full, estimate=cost)


def _take_back(cloud: Cloud, ledger: Ledger, made: list[Resource]) -> None:
    """Remove what a refused deployment made, so that the next one finds its name free.

    Where that fails too, the ledger still names it and clean-up removes it.
    """
    for resource in reversed(made):
        with suppress(ClientError):
            remove(cloud, resource)
            ledger.removed(resource.kind, resource.name)


def model_data_of(location: str) -> dict[str, Any]:
    """A container's members for model data: an archive, or a prefix if it ends with a slash."""
    if not location.endswith("/"):
        return {"ModelDataUrl": location}
    source = {"S3Uri": location, "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": source}}


def _record_prefix(cloud: Cloud, ledger: Ledger) -> None:
    """Everything below the learner's prefix goes when the course is over."""
    prefix = cloud.uri("")
    if not any((e.kind, e.name) == ("s3-prefix", prefix) for e in ledger.open()):
        ledger.planned("s3-prefix", prefix)


@contextmanager
def _words(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as trouble:
        raise _refused(what, trouble) from trouble


def _refused(what: str, trouble: ClientError) -> ServiceError:
    why = trouble.response["Error"].get("Message", str(trouble))
    if trouble.response["Error"].get("Code") == "ResourceLimitExceeded":
        return QuotaError(
            what, why, "notebook 00 ranks other instances, and asks for more of this one"
        )
    if trouble.response["Error"].get("Code", "").startswith("AccessDenied"):
        return ServiceError(what, why, "docs/permissions.md says which permission is for what")
    taken = "already existing" in why
    return ServiceError(what, why, "clean up first, or choose another name" if taken else "")
