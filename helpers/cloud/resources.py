"""Each kind of resource the course makes: does it exist, how is it removed, how is it tagged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from helpers.cloud.session import OWNER_TAG, Cloud
from helpers.s3 import split_uri

KINDS = (
    "endpoint",
    "endpoint-config",
    "model",
    "subscription",
    "topic",
    "queue",
    "s3-prefix",
    "log-group",
    "bucket",
)
"""In the order of removal: first what costs, last what the others lie in."""

_MISSING = {
    "404", "NoSuchBucket", "NotFound", "NotFoundException", "ResourceNotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Something in the account: its kind, and the name by which its service knows it.

    Topics go by ARN, subscriptions by ``topic-arn queue-arn``, prefixes by ``s3://…/``.
    """

    kind: str
    name: str


def exists(cloud: Cloud, resource: Resource) -> bool:
    """Whether it is there. Raises ``ClientError`` when the account does not let us look."""
    try:
        return _EXISTS[resource.kind](cloud, resource.name)
    except ClientError as trouble:
        if _is_missing(trouble):
            return False
        raise


def remove(cloud: Cloud, resource: Resource) -> None:
    """Remove it and, for an endpoint, wait until it is gone. Raises ``ClientError``."""
    try:
        _REMOVE[resource.kind](cloud, resource.name)
    except ClientError as trouble:
        if not _is_missing(trouble):
            raise


def tagged(cloud: Cloud) -> list[Resource]:
    """Everything in the account that carries this learner's tag, and logs of tagged endpoints."""
    pages = cloud.client("resourcegroupstaggingapi").get_paginator("get_resources")
    wanted = [{"Key": OWNER_TAG, "Values": [cloud.settings.learner]}]
    arns = [
        item["ResourceARN"]
        for page in pages.paginate(TagFilters=wanted)
        for item in page["ResourceTagMappingList"]
    ]
    found = [resource for arn in arns if (resource := _from_arn(arn))]
    # A log group is made by the endpoint's containers and carries no tag of ours.
    return found + [
        Resource(kind="log-group", name=f"/aws/sagemaker/Endpoints/{resource.name}")
        for resource in found
        if resource.kind == "endpoint"
    ]


def _from_arn(arn: str) -> Resource | None:
    service, _, _, rest = arn.split(":", 5)[2:]
    if service == "sns":
        return Resource(kind="topic", name=arn) if rest.count(":") == 0 else None
    if service == "sqs":
        return Resource(kind="queue", name=rest)
    if service == "s3":
        return Resource(kind="bucket", name=rest)
    kind, _, name = rest.partition("/")
    if service == "sagemaker" and kind in KINDS:
        return Resource(kind=kind, name=name)
    return None


def _is_missing(trouble: ClientError) -> bool:
    error = trouble.response["Error"]
    return error.get("Code", "") in _MISSING or "Could not find" in error.get("Message", "")


def _describe(operation: str, key: str) -> Any:
    def look(cloud: Cloud, name: str) -> bool:
        getattr(cloud.client("sagemaker"), operation)(**{key: name})
        return True

    return look


def _delete(operation: str, key: str) -> Any:
    def remove_it(cloud: Cloud, name: str) -> None:
        getattr(cloud.client("sagemaker"), operation)(**{key: name})

    return remove_it


def _delete_endpoint(cloud: Cloud, name: str) -> None:
    """An endpoint that is being created refuses to be deleted: wait, ask again, wait until gone."""
    sagemaker = cloud.client("sagemaker")
    deadline = time.monotonic() + 1800
    while True:
        status = sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
        if status not in ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"):
            sagemaker.delete_endpoint(EndpointName=name)
        if time.monotonic() > deadline:
            return
        time.sleep(0.05 if cloud.local else 5)


def _subscriptions(cloud: Cloud, name: str) -> Iterator[str]:
    topic, _, endpoint = name.partition(" ")
    pages = cloud.client("sns").get_paginator("list_subscriptions_by_topic")
    for page in pages.paginate(TopicArn=topic):
        for item in page["Subscriptions"]:
            if item["Endpoint"] == endpoint and item["SubscriptionArn"].startswith("arn:"):
                yield item["SubscriptionArn"]


def _has_subscription(cloud: Cloud, name: str) -> bool:
    return any(True for _ in _subscriptions(cloud, name))


def _unsubscribe(cloud: Cloud, name: str) -> None:
    for arn in list(_subscriptions(cloud, name)):
        cloud.client("sns").unsubscribe(SubscriptionArn=arn)


def _has_topic(cloud: Cloud, name: str) -> bool:
    cloud.client("sns").get_topic_attributes(TopicArn=name)
    return True


def _delete_topic(cloud: Cloud, name: str) -> None:
    """With its subscriptions, which need not be in any ledger."""
    sns = cloud.client("sns")
    for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=name):
        for item in page["Subscriptions"]:
            if item["SubscriptionArn"].startswith("arn:"):
                sns.unsubscribe(SubscriptionArn=item["SubscriptionArn"])
    sns.delete_topic(TopicArn=name)


def _has_queue(cloud: Cloud, name: str) -> bool:
    cloud.client("sqs").get_queue_url(QueueName=name)
    return True


def _delete_queue(cloud: Cloud, name: str) -> None:
    sqs = cloud.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])


def _has_log_group(cloud: Cloud, name: str) -> bool:
    found = cloud.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group["logGroupName"] == name for group in found)


def _delete_log_group(cloud: Cloud, name: str) -> None:
    cloud.client("logs").delete_log_group(logGroupName=name)


def _versions(cloud: Cloud, uri: str) -> Iterator[list[dict[str, str]]]:
    """Every object and every old version below a prefix, in batches that one call can delete."""
    bucket, prefix = split_uri(uri)
    pages = cloud.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix):
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        if found:
            yield [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]


def _uploads(cloud: Cloud, uri: str) -> list[dict[str, Any]]:
    """Uploads that were begun and never ended: invisible in a listing, paid for all the same."""
    bucket, prefix = split_uri(uri)
    answer = cloud.client("s3").list_multipart_uploads(Bucket=bucket, Prefix=prefix)
    return answer.get("Uploads", [])


def _has_objects(cloud: Cloud, uri: str) -> bool:
    return any(True for _ in _versions(cloud, uri)) or bool(_uploads(cloud, uri))


def _delete_objects(cloud: Cloud, uri: str) -> None:
    bucket, _ = split_uri(uri)
    s3 = cloud.client("s3")
    for batch in list(_versions(cloud, uri)):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
    for upload in _uploads(cloud, uri):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _has_bucket(cloud: Cloud, name: str) -> bool:
    cloud.client("s3").head_bucket(Bucket=name)
    return True


def _delete_bucket(cloud: Cloud, name: str) -> None:
    """Only when it is empty: a bucket with somebody else's objects is not the course's to empty."""
    s3 = cloud.client("s3")
    if not s3.list_objects_v2(Bucket=name, MaxKeys=1).get("KeyCount"):
        s3.delete_bucket(Bucket=name)


_EXISTS: dict[str, Any] = {
    "endpoint": _describe("describe_endpoint", "EndpointName"),
    "endpoint-config": _describe("describe_endpoint_config", "EndpointConfigName"),
    "model": _describe("describe_model", "ModelName"),
    "subscription": _has_subscription,
    "topic": _has_topic,
    "queue": _has_queue,
    "log-group": _has_log_group,
    "s3-prefix": _has_objects,
    "bucket": _has_bucket,
}
_REMOVE: dict[str, Any] = {
    "endpoint": _delete_endpoint,
    "endpoint-config": _delete("delete_endpoint_config", "EndpointConfigName"),
    "model": _delete("delete_model", "ModelName"),
    "subscription": _unsubscribe,
    "topic": _delete_topic,
    "queue": _delete_queue,
    "log-group": _delete_log_group,
    "s3-prefix": _delete_objects,
    "bucket": _delete_bucket,
}
