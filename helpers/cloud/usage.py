"""Which instances the account uses right now, of endpoints, training jobs and notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from helpers.cloud.kinds import is_missing, pages
from helpers.cloud.session import Cloud


def instances_in_use(cloud: Cloud, use: str) -> Counter[str] | None:
    """Instances by type, everybody's in this account and region; ``None``: we may not look.

    ``use``: ``hosting``, ``training`` or ``notebook``.
    """
    try:
        return _COUNT[use](cloud)
    except ClientError:
        return None


def describe(call: Callable[..., Mapping[str, Any]], **asked: str) -> Mapping[str, Any] | None:
    """What a describe call answers; ``None`` for what is not there. Raises ``ClientError``."""
    try:
        return call(**asked)
    except ClientError as trouble:
        if is_missing(trouble):
            return None
        raise


def endpoint_instances(cloud: Cloud, endpoint: Mapping[str, Any]) -> Counter[str]:
    """Instances of a described endpoint by type; while it is created, those that it will have."""
    config = describe(
        cloud.client("sagemaker").describe_endpoint_config,
        EndpointConfigName=endpoint["EndpointConfigName"],
    )
    there = {
        variant["VariantName"]: variant.get("CurrentInstanceCount")
        for variant in endpoint.get("ProductionVariants", [])
    }
    found: Counter[str] = Counter()
    for variant in config["ProductionVariants"] if config else []:
        count = there.get(variant["VariantName"])
        if count is None:
            count = variant.get("InitialInstanceCount", 1)
        if "InstanceType" in variant:
            found[variant["InstanceType"]] += count
    return found


def _hosting(cloud: Cloud) -> Counter[str]:
    sagemaker, found = cloud.client("sagemaker"), Counter()
    for item in pages(cloud, "sagemaker", "list_endpoints", "Endpoints"):
        endpoint = describe(sagemaker.describe_endpoint, EndpointName=item["EndpointName"])
        if endpoint and endpoint["EndpointStatus"] != "Failed":
            found += endpoint_instances(cloud, endpoint)
    return found


def _training(cloud: Cloud) -> Counter[str]:
    sagemaker, found = cloud.client("sagemaker"), Counter()
    running = pages(
        cloud, "sagemaker", "list_training_jobs", "TrainingJobSummaries", StatusEquals="InProgress"
    )
    for item in running:
        job = describe(sagemaker.describe_training_job, TrainingJobName=item["TrainingJobName"])
        resources = job["ResourceConfig"] if job else {}
        for group in resources.get("InstanceGroups") or [resources]:
            if "InstanceType" in group:
                found[group["InstanceType"]] += group["InstanceCount"]
    return found


def _notebooks(cloud: Cloud) -> Counter[str]:
    listed = pages(cloud, "sagemaker", "list_notebook_instances", "NotebookInstances")
    return Counter(
        item["InstanceType"]
        for item in listed
        if item["NotebookInstanceStatus"] in ("Pending", "InService", "Updating")
    )


_COUNT: dict[str, Callable[[Cloud], Counter[str]]] = {
    "hosting": _hosting,
    "training": _training,
    "notebook": _notebooks,
}
