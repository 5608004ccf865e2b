"""Endpoints, what they are made of and what scales them, and training jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from helpers.cloud.kinds import Busy, Kind, pages, starts_ours
from helpers.cloud.session import Cloud

_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")
_SCALED = {"ServiceNamespace": "sagemaker"}


def _names(operation: str, items: str, key: str) -> Callable[[Cloud], Iterator[str]]:
    def find(cloud: Cloud) -> Iterator[str]:
        found = pages(cloud, "sagemaker", operation, items, NameContains=cloud.name_prefix)
        return (item[key] for item in found if starts_ours(cloud, item[key]))

    return find


def _describe(operation: str, key: str) -> Callable[[Cloud, str], bool]:
    def exists(cloud: Cloud, name: str) -> bool:
        getattr(cloud.client("sagemaker"), operation)(**{key: name})
        return True

    return exists


def _delete(operation: str, key: str) -> Callable[[Cloud, str], None]:
    def remove(cloud: Cloud, name: str) -> None:
        getattr(cloud.client("sagemaker"), operation)(**{key: name})

    return remove


def _remove_endpoint(cloud: Cloud, name: str) -> None:
    """An endpoint that is being changed refuses to be deleted."""
    sagemaker = cloud.client("sagemaker")
    status = sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
    if status in _CHANGING:
        raise Busy(f"it is {status}")
    if status != "Deleting":
        sagemaker.delete_endpoint(EndpointName=name)


def _remove_training_job(cloud: Cloud, name: str) -> None:
    """A job that runs is stopped; one that has ended is deleted."""
    sagemaker = cloud.client("sagemaker")
    status = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
    if status == "InProgress":
        sagemaker.stop_training_job(TrainingJobName=name)
    if status in ("InProgress", "Stopping"):
        raise Busy("it is being stopped")
    if status != "Deleting":
        sagemaker.delete_training_job(TrainingJobName=name)


def _of_ours(cloud: Cloud, resource_id: str) -> bool:
    """``endpoint/NAME/variant/…`` or ``inference-component/NAME``"""
    return starts_ours(cloud, resource_id.split("/")[1])


def _policies(cloud: Cloud) -> Iterator[str]:
    service = "application-autoscaling"
    for item in pages(cloud, service, "describe_scaling_policies", "ScalingPolicies", **_SCALED):
        if _of_ours(cloud, item["ResourceId"]):
            yield f"{item['ResourceId']} {item['ScalableDimension']} {item['PolicyName']}"


def _targets(cloud: Cloud) -> Iterator[str]:
    service = "application-autoscaling"
    for item in pages(cloud, service, "describe_scalable_targets", "ScalableTargets", **_SCALED):
        if _of_ours(cloud, item["ResourceId"]):
            yield f"{item['ResourceId']} {item['ScalableDimension']}"


def _has_policy(cloud: Cloud, name: str) -> bool:
    resource, dimension, policy = name.split(" ", 2)
    found = cloud.client("application-autoscaling").describe_scaling_policies(
        PolicyNames=[policy], ResourceId=resource, ScalableDimension=dimension, **_SCALED
    )
    return bool(found["ScalingPolicies"])


def _has_target(cloud: Cloud, name: str) -> bool:
    resource, dimension = name.split(" ", 1)
    found = cloud.client("application-autoscaling").describe_scalable_targets(
        ResourceIds=[resource], ScalableDimension=dimension, **_SCALED
    )
    return bool(found["ScalableTargets"])


def _remove_policy(cloud: Cloud, name: str) -> None:
    resource, dimension, policy = name.split(" ", 2)
    cloud.client("application-autoscaling").delete_scaling_policy(
        PolicyName=policy, ResourceId=resource, ScalableDimension=dimension, **_SCALED
    )


def _remove_target(cloud: Cloud, name: str) -> None:
    resource, dimension = name.split(" ", 1)
    cloud.client("application-autoscaling").deregister_scalable_target(
        ResourceId=resource, ScalableDimension=dimension, **_SCALED
    )


SCALING: dict[str, Kind] = {
    "scaling-policy": Kind(find=_policies, exists=_has_policy, remove=_remove_policy),
    "scaling-target": Kind(find=_targets, exists=_has_target, remove=_remove_target),
}
"""They go by ``resource-id dimension [policy]``."""

RUNNING: dict[str, Kind] = {
    "endpoint": Kind(
        find=_names("list_endpoints", "Endpoints", "EndpointName"),
        exists=_describe("describe_endpoint", "EndpointName"),
        remove=_remove_endpoint,
    ),
    "training-job": Kind(
        find=_names("list_training_jobs", "TrainingJobSummaries", "TrainingJobName"),
        exists=_describe("describe_training_job", "TrainingJobName"),
        remove=_remove_training_job,
    ),
}
"""What bills by the second."""

DEFINITIONS: dict[str, Kind] = {
    # AWS asks to keep a configuration for as long as an endpoint may look at it.
    "endpoint-config": Kind(
        find=_names("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        exists=_describe("describe_endpoint_config", "EndpointConfigName"),
        remove=_delete("delete_endpoint_config", "EndpointConfigName"),
        after=("endpoint",),
        held_by=("endpoint",),
    ),
    "model": Kind(
        find=_names("list_models", "Models", "ModelName"),
        exists=_describe("describe_model", "ModelName"),
        remove=_delete("delete_model", "ModelName"),
        after=("endpoint",),
        held_by=("endpoint",),
    ),
}
"""What costs nothing and would be in the way of the next deployment."""
