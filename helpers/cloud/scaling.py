"""An asynchronous endpoint that grows with its queue and shrinks to nothing without one.

Two policies are needed. Target tracking keeps the backlog of an instance near a target; at zero
instances it wakes only for more jobs than that. The step policy wakes the endpoint for the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from helpers.cloud.deployment import in_words
from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
VARIANT = "AllTraffic"
_NAMESPACE = "AWS/SageMaker"


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What makes an endpoint scale; clean-up finds it all in the ledger."""

    resource: str
    tracking: str
    wake: str
    alarm: str


@dataclass(frozen=True, kw_only=True)
class Activity:
    """A change of the number of instances: when, what and why."""

    began: datetime
    status: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.began:%H:%M:%S} · {self.what} {self.why} · {self.status}"


def scale_with_queue(
    cloud: Cloud,
    ledger: Ledger,
    name: str,
    *,
    least: int = 0,
    most: int = 2,
    backlog_per_instance: float = 5,
    out_cooldown_s: int = 60,
    in_cooldown_s: int = 300,
) -> Scaling:
    """Let the asynchronous endpoint ``name`` have ``least`` to ``most`` instances.

    ``backlog_per_instance``: jobs, queued or running, that one instance should have in front of
    it. Cooldowns in seconds, whole numbers, 0 or more. Called again it changes the numbers. Raises
    ``ServiceError`` for limits that make no sense and when AWS refuses; in an account that never
    scaled an endpoint, until its owner has made the role that auto scaling assumes:
    ``aws iam create-service-linked-role --aws-service-name
    sagemaker.application-autoscaling.amazonaws.com``.
    """
    if not 0 <= least <= most or most < 1 or backlog_per_instance <= 0:
        raise ServiceError(
            f"an endpoint cannot have {least} to {most} instances with "
            f"{backlog_per_instance:g} jobs each",
            "least is 0 or more, most is 1 or more and not below least, jobs are more than 0",
        )
    endpoint = cloud.name(name)
    made = Scaling(
        resource=f"endpoint/{endpoint}/variant/{VARIANT}",
        tracking=f"{endpoint}-backlog",
        wake=f"{endpoint}-wake",
        alarm=f"{endpoint}-has-backlog",
    )
    place = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": made.resource,
        "ScalableDimension": DIMENSION,
    }
    scaling = cloud.client("application-autoscaling")
    with in_words(f"the endpoint {endpoint} cannot be scaled"):
        with ledger.creating("scaling-target", f"{made.resource} {DIMENSION}"):
            scaling.register_scalable_target(**place, MinCapacity=least, MaxCapacity=most)
        with ledger.creating("scaling-policy", f"{made.resource} {DIMENSION} {made.tracking}"):
            scaling.put_scaling_policy(
                PolicyName=made.tracking,
                **place,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=tracking(
                    endpoint, backlog_per_instance, out_cooldown_s, in_cooldown_s
                ),
            )
        with ledger.creating("scaling-policy", f"{made.resource} {DIMENSION} {made.wake}"):
            wake = scaling.put_scaling_policy(
                PolicyName=made.wake,
                **place,
                PolicyType="StepScaling",
                StepScalingPolicyConfiguration=waking(out_cooldown_s),
            )["PolicyARN"]
        with ledger.creating("alarm", made.alarm):
            cloud.client("cloudwatch").put_metric_alarm(
                **alarm(endpoint, made.alarm, wake), Tags=cloud.tags
            )
    return made


def send_to_sleep(cloud: Cloud, name: str) -> None:
    """Take every instance from the asynchronous endpoint ``name`` now, as scaling would after a
    quarter of an hour without a job; wait with ``endpoints.wait_in_service``. What runs is let
    end, the queue stays. Raises ``ServiceError``."""
    endpoint = cloud.name(name)
    with in_words(f"the endpoint {endpoint} cannot be sent to sleep"):
        cloud.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": VARIANT, "DesiredInstanceCount": 0}],
        )


def activities(cloud: Cloud, name: str) -> Iterator[Activity]:
    """What scaled, oldest first, and AWS's own words for why. Raises ``ServiceError``."""
    resource = f"endpoint/{cloud.name(name)}/variant/{VARIANT}"
    with in_words(f"the scaling of {name} cannot be read"):
        pages = cloud.client("application-autoscaling").get_paginator("describe_scaling_activities")
        found = [
            item
            for page in pages.paginate(ServiceNamespace="sagemaker", ResourceId=resource)
            for item in page["ScalingActivities"]
        ]
    for item in reversed(found):
        yield Activity(
            began=item["StartTime"],
            status=item["StatusCode"],
            what=item["Description"],
            why=item["Cause"],
        )


def tracking(endpoint: str, target: float, out_s: int, in_s: int) -> dict[str, Any]:
    """The policy that keeps ``target`` jobs, queued or running, in front of each instance."""
    return {
        "TargetValue": target,
        "CustomizedMetricSpecification": {
            **_metric(endpoint, "ApproximateBacklogSizePerInstance"),
            "Statistic": "Average",
        },
        "ScaleOutCooldown": out_s,
        "ScaleInCooldown": in_s,
    }


def waking(out_s: int) -> dict[str, Any]:
    """The step policy that adds one instance to an endpoint that sleeps."""
    return {
        "AdjustmentType": "ChangeInCapacity",
        "MetricAggregationType": "Average",
        "Cooldown": out_s,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }


def alarm(endpoint: str, name: str, policy: str) -> dict[str, Any]:
    """The alarm that sets off ``policy``, an ARN: jobs wait, and no instance is there."""
    return {
        "AlarmName": name,
        **_metric(endpoint, "HasBacklogWithoutCapacity"),
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [policy],
    }


def _metric(endpoint: str, name: str) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Namespace": _NAMESPACE,
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
    }
