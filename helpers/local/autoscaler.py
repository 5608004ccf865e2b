"""Application auto scaling and CloudWatch for asynchronous endpoints, as AWS documents them.

Targets, policies and alarms are kept by moto, which never acts on them; this does. A minute of
AWS's clock takes ``minute_s`` here: so an endpoint that would wake after a few minutes and go to
sleep after twenty does so in seconds, and in the same order.
"""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from helpers.local.context import Context
from helpers.local.control_plane import ControlPlane
from helpers.local.endpoint import Endpoint
from helpers.local.fleet import Variant
from helpers.local.memory import MACHINE_BYTES, resident_bytes
from helpers.local.scaling import MEASURED, Scaler, Wish, measure
from helpers.local.store import cut
from helpers.local.wire import Call, Refusal
from helpers.local.worker_host import WorkerHost

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_SERVICE = {"ServiceNamespace": "sagemaker"}
SHORTEST_MINUTE_S = 0.2
MOST_ACTIVITIES = 1000
MEMORY_EVERY_S = 1.0


@dataclass(frozen=True)
class Rules:
    """What moto keeps about scaling: targets by resource, policies and alarms as described."""

    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: list[dict[str, Any]] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)


class Autoscaler:
    """Looks at every asynchronous endpoint once a minute, and scales what has policies.

    ``changes`` counts what may have changed a rule, from 0 for none: moto is asked only when it
    rises.
    """

    def __init__(self, context: Context, control: ControlPlane, changes: Callable[[], int]) -> None:
        self._context, self._control, self._changes = context, control, changes
        self._rules, self._rules_after = Rules(), 0
        self._minute_s = max(context.settle, SHORTEST_MINUTE_S)
        self._scalers: dict[str, Scaler] = {}
        self._told: dict[str, dict[str, float]] = {}
        self._memory_at: dict[str, float] = {}
        self._states: dict[str, bool] = {}
        self._activities: deque[dict[str, Any]] = deque(maxlen=MOST_ACTIVITIES)
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="autoscaler", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def answer(self, call: Call) -> dict[str, Any]:
        """``DescribeScalingActivities``, newest first. Raises ``Refusal``."""
        if call.operation != "DescribeScalingActivities":
            raise Refusal("ValidationException", f"{call.operation} is moto's to answer.")
        asked = call.parameters
        with_resource = [
            activity
            for activity in reversed(list(self._activities))
            if asked.get("ResourceId") in (None, activity["ResourceId"])
        ]
        found, token = cut(with_resource, asked, usual=10)
        return {"ScalingActivities": found, "NextToken": token}

    def _run(self) -> None:
        minute = 0
        while not self._ended.wait(self._minute_s):
            minute += 1
            try:
                self._look(minute)
            except Exception:  # what scales must outlive one bad look
                if not self._ended.is_set():
                    traceback.print_exc()

    def _look(self, minute: int) -> None:
        endpoints = [one for one in self._control.endpoints.all() if one.queue and one.variants]
        if not endpoints:
            self._scalers.clear()
            return
        for endpoint in endpoints:
            if endpoint.queue:
                endpoint.queue.expire()
        if (changes := self._changes()) != self._rules_after:
            self._rules, self._rules_after = self._ask(), changes
        rules = self._rules
        for gone in self._scalers.keys() - rules.targets.keys():
            del self._scalers[gone]
        for endpoint in endpoints:
            variant = endpoint.variants[0]
            values = self._measure(endpoint, variant)
            if endpoint.queue and endpoint.queue.backlog:  # an idle endpoint is no news
                self._measure_memory(endpoint, variant)
            resource = f"endpoint/{endpoint.name}/variant/{variant.name}"
            if resource in rules.targets:
                mine = [policy for policy in rules.policies if policy["ResourceId"] == resource]
                here = {"Name": "EndpointName", "Value": endpoint.name}
                heard = [
                    alarm
                    for alarm in rules.alarms
                    if alarm.get("MetricName") in MEASURED and here in alarm["Dimensions"]
                ]
                self._scale(minute, endpoint, variant, rules.targets[resource], mine, heard, values)

    def _scale(
        self,
        minute: int,
        endpoint: Endpoint,
        variant: Variant,
        target: dict[str, Any],
        policies: list[dict[str, Any]],
        alarms: list[dict[str, Any]],
        values: dict[str, float],
    ) -> None:
        scaler = self._scalers.setdefault(target["ResourceId"], Scaler())
        capacity = variant.count
        wish = scaler.decide(minute, target, policies, alarms, values=values, capacity=capacity)
        self._show(scaler.alarm_states())
        if wish is None or endpoint.status != "InService":
            return
        activity = self._begin(target, wish)
        try:
            self._context.client("sagemaker").update_endpoint_weights_and_capacities(
                EndpointName=endpoint.name,
                DesiredWeightsAndCapacities=[
                    {"VariantName": variant.name, "DesiredInstanceCount": wish.capacity}
                ],
            )
        except ClientError as trouble:  # a quota, or somebody else changes the endpoint
            activity.update(StatusCode="Failed", StatusMessage=str(trouble), EndTime=time.time())
            return
        activity.update(
            StatusCode="Successful",
            StatusMessage=f"Successfully set desired instance count to {wish.capacity}.",
            EndTime=time.time(),
        )
        scaler.rest(minute, wish, grows=wish.capacity > capacity)

    def _begin(self, target: dict[str, Any], wish: Wish) -> dict[str, Any]:
        activity = {
            "ActivityId": str(uuid.uuid4()),
            **_SERVICE,
            "ResourceId": target["ResourceId"],
            "ScalableDimension": DIMENSION,
            "Description": f"Setting desired instance count to {wish.capacity}.",
            "Cause": wish.cause,
            "StartTime": time.time(),
            "StatusCode": "InProgress",
        }
        self._activities.append(activity)
        return activity

    def _measure(self, endpoint: Endpoint, variant: Variant) -> dict[str, float]:
        """The metrics of now; CloudWatch is told when one of them changed."""
        queue = endpoint.queue
        assert queue
        values = measure(queue.backlog, len(variant.instances))
        if self._told.get(endpoint.arn) != values:
            self._told[endpoint.arn] = values
            dimensions = [{"Name": "EndpointName", "Value": endpoint.name}]
            self._context.client("cloudwatch").put_metric_data(
                Namespace="AWS/SageMaker",
                MetricData=[
                    {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": "Count"}
                    for name, value in values.items()
                ],
            )
        return values

    def _measure_memory(self, endpoint: Endpoint, variant: Variant) -> None:
        """What the fullest instance's containers hold, in percent of this machine's memory."""
        held = [
            resident_bytes(instance.host.processes())
            for instance in list(variant.instances)
            if isinstance(instance.host, WorkerHost)
        ]
        if not held or time.monotonic() < self._memory_at.get(endpoint.arn, 0):
            return
        self._memory_at[endpoint.arn] = time.monotonic() + MEMORY_EVERY_S
        self._context.client("cloudwatch").put_metric_data(
            Namespace="/aws/sagemaker/Endpoints",
            MetricData=[
                {
                    "MetricName": "MemoryUtilization",
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": endpoint.name},
                        {"Name": "VariantName", "Value": variant.name},
                    ],
                    "Value": 100 * max(held) / MACHINE_BYTES,
                    "Unit": "Percent",
                }
            ],
        )

    def _show(self, states: dict[str, bool]) -> None:
        """An alarm's state, where CloudWatch shows it."""
        for name, alarmed in states.items():
            if self._states.get(name) != alarmed:
                self._states[name] = alarmed
                self._context.client("cloudwatch").set_alarm_state(
                    AlarmName=name,
                    StateValue="ALARM" if alarmed else "OK",
                    StateReason="The local SageMaker compared the metric with the threshold.",
                )

    def _ask(self) -> Rules:
        targets = {
            target["ResourceId"]: target
            for target in self._pages("describe_scalable_targets", "ScalableTargets")
            if target["ScalableDimension"] == DIMENSION
        }
        policies = self._pages("describe_scaling_policies", "ScalingPolicies") if targets else []
        return Rules(targets, policies, self._alarms() if policies else [])

    def _alarms(self) -> list[dict[str, Any]]:
        pages = self._context.client("cloudwatch").get_paginator("describe_alarms").paginate()
        return [alarm for page in pages for alarm in page["MetricAlarms"]]

    def _pages(self, operation: str, items: str) -> list[dict[str, Any]]:
        client = self._context.client("application-autoscaling")
        pages = client.get_paginator(operation).paginate(**_SERVICE)
        return [item for page in pages for item in page[items]]
