"""Everything that the course can create in an account: found, looked up, removed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from helpers.cloud.kinds import Kind, is_missing, pages, patiently, tagged_ours
from helpers.cloud.kinds_builds import BUILDS
from helpers.cloud.kinds_hosting import DEFINITIONS, RUNNING, SCALING
from helpers.cloud.kinds_messages import ENDPOINT_LOGS, LOGS, MESSAGES
from helpers.cloud.kinds_storage import BUCKET, STORAGE
from helpers.cloud.session import COURSE_TAG, OWNER_TAG, Cloud

KINDS: dict[str, Kind] = {
    **SCALING, **RUNNING, **BUILDS, **STORAGE, **DEFINITIONS, **MESSAGES, **LOGS, **BUCKET,
}  # fmt: skip
"""In the order of removal, dearest first; before endpoints only what could make them grow."""
UNKNOWN = "unknown"
"""The kind of a resource that carries our tags and that this list does not know."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Something in the account: its kind, and the name by which its service knows it.

    Topics go by ARN, subscriptions by ``topic-arn listener``, prefixes by ``s3://…/``, what scales
    by ``resource-id dimension [policy]``, and an unknown kind by ARN.
    """

    kind: str
    name: str


def exists(cloud: Cloud, resource: Resource) -> bool:
    """Whether it is there. Raises ``ClientError`` when the account does not let us look."""
    if resource.kind == UNKNOWN:
        return True
    try:
        return patiently(cloud, KINDS[resource.kind].exists, cloud, resource.name)
    except ClientError as trouble:
        if is_missing(trouble):
            return False
        raise


def remove(cloud: Cloud, resource: Resource) -> None:
    """Ask for its removal, which for an endpoint takes a while; nothing happens if it is gone.

    Raises ``ClientError``, and ``Busy`` or ``NotOurs`` (``helpers.cloud.kinds``) when it cannot go
    now or at all.
    """
    try:
        patiently(cloud, KINDS[resource.kind].remove, cloud, resource.name)
    except ClientError as trouble:
        if not is_missing(trouble):
            raise


def named(cloud: Cloud, kind: str) -> list[Resource]:
    """The learner's resources of a kind, found by their names. Raises ``ClientError``."""
    try:
        names = patiently(cloud, lambda: list(KINDS[kind].find(cloud)))
    except ClientError as trouble:
        if is_missing(trouble):
            return []
        raise
    return [Resource(kind=kind, name=name) for name in names]


def tagged(cloud: Cloud) -> list[Resource]:
    """Everything in the account that carries this learner's tags, and logs of tagged endpoints.

    The index of tags lags behind by seconds: what it lists may be gone, what it lacks may be there.
    Raises ``ClientError``.
    """
    found = [
        resource
        for item in _of_the_course(cloud)
        if tagged_ours(cloud, item["Tags"]) and (resource := _from_arn(item["ResourceARN"]))
    ]
    # A log group is made by the endpoint's containers and carries no tag of ours.
    return found + [
        Resource(kind="log-group", name=f"{ENDPOINT_LOGS}{resource.name}")
        for resource in found
        if resource.kind == "endpoint"
    ]


def owners(cloud: Cloud) -> Counter[str]:
    """How many resources of the course the account holds for each learner, by tag alone."""
    return Counter(
        next((tag["Value"] for tag in item["Tags"] if tag["Key"] == OWNER_TAG), "")
        for item in _of_the_course(cloud)
    )


def _of_the_course(cloud: Cloud) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]]:
        return list(
            pages(
                cloud, "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList",
                TagFilters=[{"Key": COURSE_TAG}],
            )
        )  # fmt: skip

    return patiently(cloud, look)


def _from_arn(arn: str) -> Resource | None:
    service, _, _, rest = arn.split(":", 5)[2:]
    kind, _, name = rest.partition("/")
    if service == "sagemaker" and kind in KINDS:
        return Resource(kind=kind, name=name)
    if service == "sns":  # a subscription's ARN continues its topic's
        return Resource(kind="topic", name=arn) if ":" not in rest else None
    if (
        service == "application-autoscaling"
    ):  # its ARN does not say what it scales; its listing does
        return None
    prefixes = {
        ("s3", ""): "bucket",
        ("sqs", ""): "queue",
        ("cloudwatch", "alarm:"): "alarm",
        ("logs", "log-group:"): "log-group",
        ("ecr", "repository/"): "ecr-repository",
        ("codebuild", "project/"): "build-project",
    }
    for (owner, prefix), kind in prefixes.items():
        if service == owner and rest.startswith(prefix):
            return Resource(kind=kind, name=rest.removeprefix(prefix).removesuffix(":*"))
    return Resource(kind=UNKNOWN, name=arn)
