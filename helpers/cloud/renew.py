"""Give an endpoint new instances: the way to make a multi-model endpoint forget an archive.

SageMaker keeps what an instance has once downloaded, in memory and on its disk, until it needs the
room, also when the archive is gone from S3 (developer guide, "Add or remove models" and "Set model
caching behavior", read 2026-11-21). A changed endpoint gets new instances, and the old ones end.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from botocore.exceptions import ClientError

from helpers.cloud.endpoints import wait_in_service
from helpers.cloud.kinds import pages, starts_ours
from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import Resource, remove
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError


def multi_model_endpoints(cloud: Cloud) -> Iterator[tuple[str, str]]:
    """Each multi-model endpoint of this learner that serves, and the prefix that it serves from."""
    sagemaker = cloud.client("sagemaker")
    for item in pages(
        cloud, "sagemaker", "list_endpoints", "Endpoints", NameContains=cloud.name_prefix
    ):
        name = item["EndpointName"]
        if not starts_ours(cloud, name) or item["EndpointStatus"] != "InService":
            continue
        used = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
        config = sagemaker.describe_endpoint_config(EndpointConfigName=used)
        for variant in config["ProductionVariants"]:
            model = sagemaker.describe_model(ModelName=variant["ModelName"])
            container = model.get("PrimaryContainer", {})
            if container.get("Mode") == "MultiModel":
                yield name, container["ModelDataUrl"]


def renew_instances(cloud: Cloud, ledger: Ledger, endpoint: str) -> None:
    """Replace the endpoint's instances by new ones of the same kind, and wait until they serve.

    It serves all the time. On AWS that takes about as long as a deployment, and old and new
    instances bill side by side. Raises ``ServiceError``.
    """
    sagemaker, full = cloud.client("sagemaker"), cloud.name(endpoint)
    fresh = f"{full[:56].rstrip('-')}-{secrets.token_hex(3)}"
    try:
        old = sagemaker.describe_endpoint(EndpointName=full)["EndpointConfigName"]
        known = sagemaker.describe_endpoint_config(EndpointConfigName=old)
        same = {
            key: known[key]
            for key in ("ProductionVariants", "AsyncInferenceConfig")
            if key in known
        }
        with ledger.creating("endpoint-config", fresh):
            sagemaker.create_endpoint_config(EndpointConfigName=fresh, Tags=cloud.tags, **same)
        sagemaker.update_endpoint(EndpointName=full, EndpointConfigName=fresh)
        wait_in_service(cloud, full)
        remove(cloud, Resource(kind="endpoint-config", name=old))
        ledger.removed("endpoint-config", old)
    except ClientError as trouble:
        raise ServiceError(
            f"the endpoint {full} cannot be renewed", str(trouble), "delete and deploy it again"
        ) from trouble
