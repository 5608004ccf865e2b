"""What CloudWatch measured of an endpoint's instances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from helpers.cloud.deployment import in_words
from helpers.cloud.scaling import VARIANT
from helpers.cloud.session import Cloud

MOST_SAMPLES = 1440
"""As many as CloudWatch gives for one question."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A value at a time, in seconds since the epoch."""

    time: float
    value: float


def memory_of(cloud: Cloud, name: str, *, since: float) -> list[Sample]:
    """Memory that an endpoint's containers held, in percent of an instance's, oldest first.

    ``MemoryUtilization``, the most of every minute on AWS and of every second here, where it is
    this machine's memory; ``since`` in seconds since the epoch. GPU memory is a metric of its own
    on AWS. Raises ``ServiceError``.
    """
    endpoint = cloud.name(name)
    metric = {
        "Namespace": "/aws/sagemaker/Endpoints",
        "MetricName": "MemoryUtilization",
        "Dimensions": [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": VARIANT},
        ],
    }
    now = datetime.now(UTC)
    finest = 1 if cloud.local else 60
    minutes = math.ceil((now.timestamp() - since) / MOST_SAMPLES / 60)
    with in_words(f"the memory of {endpoint} cannot be read"):
        found = cloud.client("cloudwatch").get_metric_statistics(
            **metric,
            Statistics=["Maximum"],
            StartTime=datetime.fromtimestamp(since, UTC),
            EndTime=now,
            Period=finest if now.timestamp() - since < MOST_SAMPLES * finest else minutes * 60,
        )["Datapoints"]
    samples = [Sample(time=one["Timestamp"].timestamp(), value=one["Maximum"]) for one in found]
    return sorted(samples, key=lambda one: one.time)
