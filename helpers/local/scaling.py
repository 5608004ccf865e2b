"""What application auto scaling would do: decisions of policies from a metric, minute by minute.

No clock and no service in here: whoever asks says which minute it is and what was measured. Rules
as in the user guide of application auto scaling, "target tracking" and "step scaling".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUT_MINUTES, IN_MINUTES = 3, 15
"""How long target tracking's two alarms, which nobody may edit, have to see a breach."""
LOW_SHARE = 0.9
"""Target tracking scales in below this share of its target, so that it does not swing."""
COOLDOWN_S = 300
MEASURED = ("ApproximateBacklogSize", "ApproximateBacklogSizePerInstance",
            "HasBacklogWithoutCapacity")  # fmt: skip
_COMPARE = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def measure(backlog: int, instances: int) -> dict[str, float]:
    """The metrics of an asynchronous endpoint's queue, by CloudWatch's names.

    At zero instances the backlog counts as one instance's: AWS documents that an endpoint then
    wakes only when it passes the target, or through ``HasBacklogWithoutCapacity``.
    """
    return {
        "ApproximateBacklogSize": float(backlog),
        "ApproximateBacklogSizePerInstance": backlog / max(instances, 1),
        "HasBacklogWithoutCapacity": float(backlog > 0 and instances == 0),
    }


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How many instances a policy wants, why, and the minutes for which it then rests."""

    capacity: int
    cause: str
    cooldown: float


class Tracking:
    """One target tracking policy: capacity in proportion to the metric."""

    def __init__(self) -> None:
        self._above = self._below = 0

    def decide(
        self, config: Mapping[str, Any], values: Mapping[str, float], capacity: int
    ) -> Wish | None:
        """Called once a minute; ``None`` while nothing is to change."""
        name = config.get("CustomizedMetricSpecification", {}).get("MetricName")
        if name not in values:  # no data: AWS leaves the capacity as it is
            return None
        value, target = values[name], float(config["TargetValue"])
        self._above = self._above + 1 if value > target else 0
        self._below = self._below + 1 if value < LOW_SHARE * target else 0
        wanted = math.ceil(max(capacity, 1) * value / target)
        cause = f"{name} is {value:g}, the target {target:g}"
        if self._above >= OUT_MINUTES and wanted > capacity:
            cooldown = config.get("ScaleOutCooldown", COOLDOWN_S) / 60
            return Wish(capacity=wanted, cause=cause, cooldown=cooldown)
        if self._below >= IN_MINUTES and wanted < capacity and not config.get("DisableScaleIn"):
            cooldown = config.get("ScaleInCooldown", COOLDOWN_S) / 60
            return Wish(capacity=wanted, cause=cause, cooldown=cooldown)
        return None


class Steps:
    """One step policy and the alarm that sets it off."""

    def __init__(self) -> None:
        self._breaches = 0
        self.alarmed = False

    def decide(
        self,
        config: Mapping[str, Any],
        alarm: Mapping[str, Any],
        values: Mapping[str, float],
        capacity: int,
    ) -> Wish | None:
        """Called once a minute; ``alarmed`` then says whether the alarm is in ALARM."""
        name, threshold = alarm["MetricName"], float(alarm["Threshold"])
        value = values.get(name)
        breached = value is not None and _COMPARE[alarm["ComparisonOperator"]](value, threshold)
        self._breaches = self._breaches + 1 if breached else 0
        periods = alarm["EvaluationPeriods"] * max(alarm.get("Period", 60) / 60, 1)
        self.alarmed = self._breaches >= periods
        if value is None or not self.alarmed:
            return None
        wanted = _stepped(config, value - threshold, capacity)
        return Wish(
            capacity=wanted,
            cause=f"the alarm {alarm['AlarmName']} went off: {name} is {value:g}",
            cooldown=config.get("Cooldown", COOLDOWN_S) / 60,
        )


def _stepped(config: Mapping[str, Any], beyond: float, capacity: int) -> int:
    """The capacity after the step in whose interval the metric lies ``beyond`` the threshold."""
    for step in config.get("StepAdjustments", []):
        low = step.get("MetricIntervalLowerBound", -math.inf)
        high = step.get("MetricIntervalUpperBound", math.inf)
        if low <= beyond < high:
            adjustment = step["ScalingAdjustment"]
            if config["AdjustmentType"] == "ExactCapacity":
                return adjustment
            if config["AdjustmentType"] == "PercentChangeInCapacity":
                change = capacity * adjustment / 100
                least = config.get("MinAdjustmentMagnitude", 1)
                away = max(abs(math.trunc(change)), least)
                return capacity + int(math.copysign(away, adjustment))
            return capacity + adjustment
    return capacity


class Scaler:
    """One scalable target: its policies' wishes, cooldowns, and the limits they respect."""

    def __init__(self) -> None:
        self._tracking: dict[str, Tracking] = {}
        self._steps: dict[str, Steps] = {}
        self._out_until = self._in_until = -math.inf

    def decide(
        self,
        minute: float,
        target: Mapping[str, Any],
        policies: list[dict[str, Any]],
        alarms: list[dict[str, Any]],
        *,
        values: Mapping[str, float],
        capacity: int,
    ) -> Wish | None:
        """What to change at this minute, within the target's limits; ``None``: nothing.

        The policy that wants most wins. Scaling in waits for its cooldown; scaling out waits only
        for its own, not for that of scaling in.
        """
        wishes = [*self._tracked(policies, values, capacity)]
        wishes += self._alarmed(policies, alarms, values, capacity)
        if not wishes:
            return None
        wish = max(wishes, key=lambda wish: wish.capacity)
        wanted = min(max(wish.capacity, target["MinCapacity"]), target["MaxCapacity"])
        grows = wanted > capacity
        suspended = target.get("SuspendedState") or {}
        key = "DynamicScalingOutSuspended" if grows else "DynamicScalingInSuspended"
        if wanted == capacity or suspended.get(key):
            return None
        if minute < (self._out_until if grows else max(self._in_until, self._out_until)):
            return None
        return Wish(capacity=wanted, cause=wish.cause, cooldown=wish.cooldown)

    def rest(self, minute: float, wish: Wish, *, grows: bool) -> None:
        """The capacity is being changed: begin the cooldown."""
        if grows:
            self._out_until = minute + wish.cooldown
        else:
            self._in_until = minute + wish.cooldown

    def alarm_states(self) -> dict[str, bool]:
        """Alarms by name, and whether they are in ALARM."""
        return {name: steps.alarmed for name, steps in self._steps.items()}

    def _tracked(
        self, policies: list[dict[str, Any]], values: Mapping[str, float], capacity: int
    ) -> list[Wish]:
        found = []
        for policy in policies:
            config = policy.get("TargetTrackingScalingPolicyConfiguration")
            if config:
                state = self._tracking.setdefault(policy["PolicyName"], Tracking())
                if wish := state.decide(config, values, capacity):
                    found.append(wish)
        return found

    def _alarmed(
        self,
        policies: list[dict[str, Any]],
        alarms: list[dict[str, Any]],
        values: Mapping[str, float],
        capacity: int,
    ) -> list[Wish]:
        found = []
        by_arn = {policy["PolicyARN"]: policy for policy in policies}
        for alarm in alarms:
            for action in alarm.get("AlarmActions", []):
                config = by_arn.get(action, {}).get("StepScalingPolicyConfiguration")
                if config:
                    state = self._steps.setdefault(alarm["AlarmName"], Steps())
                    if wish := state.decide(config, alarm, values, capacity):
                        found.append(wish)
        return found
