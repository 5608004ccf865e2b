"""The three resources behind an endpoint: made together, or taken back together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from helpers.cloud.costs import Estimate, estimate, expiry_tag
from helpers.cloud.environment import check_environment
from helpers.cloud.images import host_image, require_family
from helpers.cloud.instances import has_gpu
from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import Resource, remove
from helpers.cloud.session import Cloud
from helpers.errors import QuotaError, ServiceError

VARIANT = "AllTraffic"
STARTUP_S = 1800
"""Seconds that a container may take to start, or a large base to arrive."""


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


def create(
    cloud: Cloud,
    ledger: Ledger,
    full: str,
    *,
    container: dict[str, Any],
    instance_type: str,
    instance_count: int,
    more: dict[str, Any],
) -> Deployment:
    """Create the model of ``container``, an endpoint configuration and an endpoint named ``full``.

    What it will cost is announced first. ``more`` goes into the configuration. Raises
    ``ServiceError`` when AWS refuses, and then nothing is left of it.
    """
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
    record_prefix(cloud, ledger)
    made: list[Resource] = []
    try:
        with in_words(f"the model {full} cannot be created"), ledger.creating("model", full):
            sagemaker.create_model(
                ModelName=full,
                PrimaryContainer=container,
                ExecutionRoleArn=cloud.role_arn,
                Tags=cloud.tags,
            )
        made.append(Resource(kind="model", name=full))
        with (
            in_words(f"the endpoint configuration {full} cannot be created"),
            ledger.creating("endpoint-config", full),
        ):
            sagemaker.create_endpoint_config(
                EndpointConfigName=full, ProductionVariants=[variant], Tags=cloud.tags, **more
            )
        made.append(Resource(kind="endpoint-config", name=full))
        ledger.planned("log-group", f"/aws/sagemaker/Endpoints/{full}")
        with (
            in_words(f"the endpoint {full} cannot be created"),
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


def staged(cloud: Cloud, ledger: Ledger, full: str, model_data: str | Path) -> dict[str, Any]:
    """A container's members for model data; a local archive is uploaded first."""
    if isinstance(model_data, Path):
        record_prefix(cloud, ledger)
        model_data = cloud.upload(model_data, "models", f"{full}.tar.gz")
    return model_data_of(model_data)


def model_data_of(location: str) -> dict[str, Any]:
    """A container's members for model data: an archive, or a prefix if it ends with a slash."""
    if not location.endswith("/"):
        return {"ModelDataUrl": location}
    source = {"S3Uri": location, "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": source}}


def record_prefix(cloud: Cloud, ledger: Ledger) -> None:
    """Everything below the learner's prefix goes when the course is over."""
    prefix = cloud.uri("")
    if not any((e.kind, e.name) == ("s3-prefix", prefix) for e in ledger.open()):
        ledger.planned("s3-prefix", prefix)


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """AWS's refusal as a ``ServiceError`` that begins with ``what``."""
    try:
        yield
    except ClientError as trouble:
        raise refusal(what, trouble) from trouble


def refusal(what: str, trouble: ClientError) -> ServiceError:
    """What AWS said, and what to do about it."""
    why = trouble.response["Error"].get("Message", str(trouble))
    if trouble.response["Error"].get("Code") == "ResourceLimitExceeded":
        return QuotaError(
            what, why, "notebook 00 ranks other instances, and asks for more of this one"
        )
    if trouble.response["Error"].get("Code", "").startswith("AccessDenied"):
        return ServiceError(what, why, "docs/permissions.md says which permission is for what")
    taken = "already existing" in why
    return ServiceError(what, why, "clean up first, or choose another name" if taken else "")
