"""What an endpoint or a job will cost, said before it is created, and when it counts as forgotten.

Hours times a price an hour: AWS bills by the second, and storage and requests come on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from helpers.cloud.prices import Price, money
from helpers.cloud.session import EXPIRY_TAG, Cloud
from helpers.errors import ServiceError
from helpers.settings import MOST_HOURS


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What ``count`` instances will cost in ``hours``; dollars are ``None`` without a price."""

    what: str
    count: int
    hours: float
    price: Price
    local: bool = False

    @property
    def per_hour(self) -> float | None:
        return None if self.price.per_hour is None else self.price.per_hour * self.count

    @property
    def dollars(self) -> float | None:
        return None if self.per_hour is None else self.per_hour * self.hours

    @property
    def instances(self) -> str:
        return instances_in_words(self.price.instance_type, self.count)

    def __str__(self) -> str:
        would = "would cost on AWS" if self.local else "will cost"
        return (
            f"{self.what}: {self.instances} {would} {money(self.per_hour)} an hour, "
            f"{money(self.dollars)} in {self.hours:g} h ({self.price.source})"
        )


def estimate(
    cloud: Cloud,
    what: str,
    instance_type: str,
    *,
    count: int = 1,
    hours: float | None = None,
    use: str = "hosting",
) -> Estimate:
    """What ``what`` will cost in ``hours``; if not given, in those until an endpoint expires.

    ``use``: ``hosting``, ``training`` or ``notebook``.
    """
    return Estimate(
        what=what,
        count=count,
        hours=cloud.settings.hours if hours is None else hours,
        price=cloud.prices.price(instance_type, use),
        local=cloud.local,
    )


def instances_in_words(instance_type: str, count: int) -> str:
    return f"{count} x {instance_type}"


def expiry_tag(hours: float) -> dict[str, str]:
    """The tag that says when an endpoint counts as forgotten, ``hours`` from now."""
    ends = datetime.now(UTC) + timedelta(hours=hours)
    return {"Key": EXPIRY_TAG, "Value": ends.isoformat(timespec="seconds")}


def read_expiry(tags: Iterable[Mapping[str, str]]) -> datetime | None:
    """When tags say that it expires; ``None`` where they do not, or not in a way to be read."""
    for tag in tags:
        if tag["Key"] == EXPIRY_TAG:
            try:
                found = datetime.fromisoformat(tag["Value"])
            except ValueError:
                return None
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def extend(cloud: Cloud, endpoint: str, hours: float) -> datetime:
    """Let an endpoint run for ``hours`` from now (a week at most); returns when it expires then.

    It changes a tag. You, ``course.py clean`` and, where the course's stack was deployed, its
    sweeper end endpoints; nothing else does. Raises ``ServiceError`` when the endpoint is not
    there or ``hours`` is out of range.
    """
    if not 0 < hours <= MOST_HOURS:
        raise ServiceError(
            f"an endpoint cannot be kept for {hours:g} hours", f"1 to {MOST_HOURS} are possible"
        )
    sagemaker, tag = cloud.client("sagemaker"), expiry_tag(hours)
    full = cloud.name(endpoint)
    try:
        arn = sagemaker.describe_endpoint(EndpointName=full)["EndpointArn"]
        sagemaker.add_tags(ResourceArn=arn, Tags=[tag])
    except ClientError as trouble:
        raise ServiceError(f"the endpoint {full} cannot be extended", str(trouble)) from trouble
    return datetime.fromisoformat(tag["Value"])
