"""Scaling with the queue: the decisions minute by minute, and an endpoint that lives by them."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.endpoints import wait_in_service
from helpers.cloud.jobs import Job, result
from helpers.cloud.ledger import Ledger
from helpers.cloud.load import Load, follow_all
from helpers.cloud.metrics import memory_of
from helpers.cloud.resources import named
from helpers.cloud.scaling import activities, scale_with_queue, send_to_sleep
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError
from helpers.local.memory import MACHINE_BYTES, resident_bytes
from helpers.local.scaling import IN_MINUTES, OUT_MINUTES, Scaler, measure
from helpers.ui.load import memory_chart
from tests.local.conftest import Deploy
from tests.local.jobs import run, send, wait

TRACKING = {
    "PolicyName": "track",
    "PolicyARN": "arn:track",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 5.0,
        "CustomizedMetricSpecification": {"MetricName": "ApproximateBacklogSizePerInstance"},
        "ScaleOutCooldown": 120,
        "ScaleInCooldown": 300,
    },
}
WAKE = {
    "PolicyName": "wake",
    "PolicyARN": "arn:wake",
    "StepScalingPolicyConfiguration": {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        "Cooldown": 60,
    },
}
ALARM = {
    "AlarmName": "has-backlog",
    "MetricName": "HasBacklogWithoutCapacity",
    "Threshold": 1,
    "EvaluationPeriods": 2,
    "Period": 60,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "AlarmActions": ["arn:wake"],
}


def live(
    backlogs: list[int],
    *,
    capacity: int,
    policies: list[dict[str, Any]],
    target: dict[str, Any] | None = None,
) -> list[int]:
    """The capacity after each minute of a queue of these lengths; instances start at once."""
    scaler, found = Scaler(), []
    target = {"MinCapacity": 0, "MaxCapacity": 3, **(target or {})}
    for minute, backlog in enumerate(backlogs):
        values = measure(backlog, capacity)
        wish = scaler.decide(minute, target, policies, [ALARM], values=values, capacity=capacity)
        if wish:
            scaler.rest(minute, wish, grows=wish.capacity > capacity)
            capacity = wish.capacity
        found.append(capacity)
    return found


def test_one_job_wakes_an_endpoint_by_the_step_policy_and_never_by_target_tracking_alone() -> None:
    assert live([1] * 30, capacity=0, policies=[TRACKING]) == [0] * 30
    assert live([1] * 4, capacity=0, policies=[TRACKING, WAKE]) == [0, 1, 1, 1]


def test_target_tracking_grows_in_proportion_once_the_breach_has_lasted() -> None:
    after = live([12] * OUT_MINUTES, capacity=1, policies=[TRACKING])
    assert after == [1] * (OUT_MINUTES - 1) + [3]
    interrupted = [12, 12, 0, 12, 12]
    assert live(interrupted, capacity=1, policies=[TRACKING]) == [1] * 5, "not in one piece"


def test_scale_in_waits_for_its_alarm_and_its_cooldown() -> None:
    after = live([0] * IN_MINUTES, capacity=3, policies=[TRACKING])
    assert after == [3] * (IN_MINUTES - 1) + [0]
    # From 3 to 2 by a small backlog, and only after the cooldown to nothing.
    falling = [9] * IN_MINUTES + [0] * 10
    after = live(falling, capacity=3, policies=[TRACKING])
    assert after[IN_MINUTES - 1] == 2
    cooldown = 300 // 60
    assert after[IN_MINUTES : IN_MINUTES + cooldown - 1] == [2] * (cooldown - 1)
    assert after[-1] == 0


def test_scale_out_does_not_wait_for_the_cooldown_of_scale_in() -> None:
    after = live([0] * IN_MINUTES + [1, 1], capacity=1, policies=[TRACKING, WAKE])
    assert after[-3:] == [0, 0, 1]


@pytest.mark.parametrize("key", ["DynamicScalingInSuspended", "DynamicScalingOutSuspended"])
def test_suspended_scaling_stays_suspended(key: str) -> None:
    backlogs, capacity = ([0] * 20, 2) if "In" in key else ([30] * 20, 1)
    target = {"SuspendedState": {key: True}}
    assert live(backlogs, capacity=capacity, policies=[TRACKING], target=target) == [capacity] * 20
    assert live(backlogs, capacity=capacity, policies=[TRACKING])[-1] != capacity


def test_an_unknown_metric_and_a_disabled_scale_in_change_nothing() -> None:
    config = TRACKING["TargetTrackingScalingPolicyConfiguration"]
    other: dict[str, Any] = {"CustomizedMetricSpecification": {"MetricName": "CPUUtilization"}}
    unknown = {**TRACKING, "TargetTrackingScalingPolicyConfiguration": {**config, **other}}
    assert live([30] * 20, capacity=1, policies=[unknown]) == [1] * 20
    kept = {"DisableScaleIn": True}
    only_out = {**TRACKING, "TargetTrackingScalingPolicyConfiguration": {**config, **kept}}
    assert live([0] * 20, capacity=2, policies=[only_out]) == [2] * 20


@pytest.mark.parametrize(
    ("kind", "adjustment", "before", "after"),
    [
        ("ExactCapacity", 2, 0, 2),
        ("PercentChangeInCapacity", 50, 0, 1),
        ("ChangeInCapacity", 9, 0, 3),
    ],
)
def test_a_step_changes_as_its_type_says(
    kind: str, adjustment: int, before: int, after: int
) -> None:
    step = [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": adjustment}]
    config = {"AdjustmentType": kind, "StepAdjustments": step}
    policy = {**WAKE, "StepScalingPolicyConfiguration": config}
    assert live([1, 1], capacity=before, policies=[policy])[-1] == after


@given(
    backlogs=st.lists(st.integers(0, 200), min_size=1, max_size=60),
    limits=st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted),
    start=st.integers(0, 4),
)
def test_policies_never_leave_the_limits(
    backlogs: list[int], limits: list[int], start: int
) -> None:
    least, most = limits
    capacity = min(max(start, least), most)
    target = {"MinCapacity": least, "MaxCapacity": most}
    after = live(backlogs, capacity=capacity, policies=[TRACKING, WAKE], target=target)
    assert all(least <= count <= most for count in after)


@pytest.fixture
def scaled(cloud: Cloud, ledger: Ledger, deploy: Deploy) -> Iterator[Callable[..., str]]:
    """Endpoints that scale with their queue, two jobs to an instance at a time."""
    made: list[str] = []

    def make(*, start: int = 0, **limits: Any) -> str:
        endpoint = deploy(max_concurrent=2, properties="minWorkers=2\nmaxWorkers=2\n")
        made.append(endpoint)
        if start == 0:
            send_to_sleep(cloud, endpoint)
            wait_in_service(cloud, endpoint)
        scale_with_queue(cloud, ledger, endpoint, **limits)
        return endpoint

    yield make
    for endpoint in made:
        with suppress(ClientError):
            cloud.client("application-autoscaling").deregister_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId=f"endpoint/{endpoint}/variant/AllTraffic",
                ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            )


@pytest.mark.promise(
    "Twenty jobs at once all complete, in as few waves as instances allow",
    fault="20 jobs, no instance, three at most, two jobs on each",
    outcome="20 completed, six at a time, and no instance afterwards",
)
def test_a_crowd_wakes_an_endpoint_that_grows_works_in_waves_and_sleeps_again(
    cloud: Cloud, scaled: Callable[..., str]
) -> None:
    endpoint = scaled(most=3, backlog_per_instance=2, out_cooldown_s=0, in_cooldown_s=0)
    assert _count(cloud, endpoint) == 0
    crowd = [send(cloud, endpoint, do="sleep", seconds=1.0) for _ in range(20)]
    crowd = [Job.from_json(job.to_json()) for job in crowd]  # as after a restart of the kernel
    seen = list(follow_all(cloud, crowd, until=0, every_s=0.1, within_s=60))
    assert (seen[-1].completed, seen[-1].failed) == (20, 0)
    assert seen[0] == Load(seconds=seen[0].seconds, backlog=20, completed=0, failed=0, instances=0)
    assert max(load.instances for load in seen) == 3
    spans = [result(cloud, job) for job in crowd]
    moments = sorted(itertools.chain.from_iterable((s["began"], s["ended"]) for s in spans))
    at_once = [sum(s["began"] <= moment < s["ended"] for s in spans) for moment in moments]
    assert 5 <= max(at_once) <= 6, "three instances of two"
    work = max(s["ended"] for s in spans) - min(s["began"] for s in spans)
    assert work >= math.ceil(20 / 6) * 1.0, "no fewer waves than six at a time need"
    told = [str(activity) for activity in activities(cloud, endpoint)]
    assert "has-backlog went off" in told[0] and "to 1." in told[0], told
    assert any("to 3." in line and "the target 2" in line for line in told), told
    assert "to 0." in told[-1]
    alarm = cloud.client("cloudwatch").describe_alarms(AlarmNames=[f"{endpoint}-has-backlog"])
    assert alarm["MetricAlarms"][0]["StateValue"] == "OK"
    assert "ApproximateBacklogSizePerInstance" in _metrics(cloud, endpoint)


def test_the_memory_of_a_job_is_in_cloudwatch(cloud: Cloud, shared: str) -> None:
    began = time.time() - 1
    for _ in range(3):
        run(cloud, shared, do="sleep", seconds=1.0)
        if found := memory_of(cloud, shared, since=began):
            break
    # One Python process without libraries: some ten megabytes of this machine.
    assert found and all(0 < one.value < 20 for one in found)
    assert [one.time for one in found] == sorted(one.time for one in found)
    assert memory_chart(found).axes[0].get_title().endswith("at most")


def test_memory_is_that_of_the_processes_and_of_no_other() -> None:
    block = bytearray(50_000_000)
    with_it = resident_bytes([os.getpid()])
    assert len(block) < with_it < MACHINE_BYTES
    assert resident_bytes([]) == 0
    assert resident_bytes([2**22 + 1]) == 0, "no such process"


@pytest.mark.promise(
    "From zero instances a job is processed",
    fault="an endpoint that sleeps",
    outcome="it wakes and the job completes",
)
def test_a_job_that_arrives_while_nothing_runs_is_processed(
    cloud: Cloud, scaled: Callable[..., str]
) -> None:
    endpoint = scaled(most=1, backlog_per_instance=5)
    job = send(cloud, endpoint, do="echo")
    time.sleep(0.1)
    assert _count(cloud, endpoint) == 0
    assert wait(cloud, job) == "completed"


def test_what_makes_an_endpoint_scale_is_in_the_ledger_and_cleaned_up(
    cloud: Cloud, ledger: Ledger, scaled: Callable[..., str]
) -> None:
    endpoint = scaled(start=1, most=2)
    scaling = ("scaling-target", "scaling-policy", "alarm")
    mine = {one.name for one in ledger.open() if endpoint in one.name and one.kind in scaling}
    assert len(mine) == 4
    assert mine <= {one.name for kind in scaling for one in named(cloud, kind)}


@pytest.mark.parametrize(
    "limits", [{"least": 2, "most": 1}, {"most": 0}, {"backlog_per_instance": 0}]
)
def test_limits_that_make_no_sense_are_refused(
    cloud: Cloud, ledger: Ledger, limits: dict[str, Any]
) -> None:
    with pytest.raises(ServiceError, match="cannot have"):
        scale_with_queue(cloud, ledger, "nowhere", **limits)
    assert not [entry for entry in ledger.open() if "nowhere" in entry.name]


def _count(cloud: Cloud, endpoint: str) -> int:
    found = cloud.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    return found["ProductionVariants"][0]["CurrentInstanceCount"]


def _metrics(cloud: Cloud, endpoint: str) -> set[str]:
    here = [{"Name": "EndpointName", "Value": endpoint}]
    found = cloud.client("cloudwatch").list_metrics(Namespace="AWS/SageMaker", Dimensions=here)
    return {metric["MetricName"] for metric in found["Metrics"]}
