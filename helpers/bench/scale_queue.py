"""An asynchronous endpoint as a load model: jobs in order, instances that come late and go late.

Nothing runs here. Jobs take the seconds that they are given; what scales is the local service's
own logic (``helpers.local.scaling``) with the course's own policies (``helpers.cloud.scaling``),
asked once a minute as CloudWatch would. The same code is the textbook's queue when nothing scales,
and is held to it: see ``check_rows`` in ``helpers.bench.scale``.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers.cloud import scaling as course
from helpers.local.scaling import Scaler, measure

MINUTE = 60.0
_ENDPOINT, _WAKE = "fine-tuning", "policy/wake"


@dataclass(frozen=True, kw_only=True)
class Policies:
    """What application auto scaling is told: the shapes that AWS takes, made by the course's own
    functions."""

    target: dict[str, Any]
    policies: list[dict[str, Any]]
    alarms: list[dict[str, Any]]


def course_policies(
    least: int, most: int, *, backlog: float = 5, out_s: int = 60, in_s: int = 300
) -> Policies:
    """Those of ``scale_with_queue``: ``backlog`` jobs, queued or running, for each instance."""
    return Policies(
        target={"MinCapacity": least, "MaxCapacity": most},
        policies=[
            {
                "PolicyName": "backlog",
                "PolicyARN": "policy/backlog",
                "TargetTrackingScalingPolicyConfiguration": course.tracking(
                    _ENDPOINT, backlog, out_s, in_s
                ),
            },
            {
                "PolicyName": "wake",
                "PolicyARN": _WAKE,
                "StepScalingPolicyConfiguration": course.waking(out_s),
            },
        ],
        alarms=[course.alarm(_ENDPOINT, "has-backlog", _WAKE)],
    )


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The endpoint. ``start`` instances are up at second 0; each works on ``concurrency`` jobs at a
    time (``MaxConcurrentInvocationsPerInstance``); one that is added needs ``delay_s`` to begin.
    Without ``policies`` nothing scales. A job that waits longer than ``ttl_s`` is dropped."""

    start: int
    concurrency: int = 1
    delay_s: float = 0.0
    policies: Policies | None = None
    ttl_s: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Served:
    """What became of the jobs, in the order in which they came; seconds from the beginning.

    ``starts`` is NaN for a job that was dropped. ``looks``: second, instances in service, and jobs
    queued or running, at the end of each minute: what CloudWatch saw. ``lives``: when an instance
    was asked for and when it was gone.
    """

    arrivals: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    looks: np.ndarray
    lives: tuple[tuple[float, float], ...]

    @property
    def waits(self) -> np.ndarray:
        """Seconds between coming and beginning, of the jobs that began."""
        return (self.starts - self.arrivals)[~np.isnan(self.starts)]

    @property
    def dropped(self) -> int:
        """Jobs that waited too long."""
        return int(np.isnan(self.starts).sum())

    def instance_seconds(self, since: float, until: float) -> float:
        """What is billed in that time, from the request for an instance to its end."""
        return sum(max(0.0, min(gone, until) - max(born, since)) for born, gone in self.lives)

    def instances_peak(self, since: float) -> int:
        """Most instances in service at any look."""
        return int(self.looks[self.looks[:, 0] >= since, 1].max(initial=0))

    def started(self, since: float, until: float) -> int:
        """Instances that were asked for in that time: each of them starts cold."""
        return sum(1 for born, _ in self.lives if since <= born < until)


@dataclass
class _Instances:
    """Slots by when they are free, and what is known of each instance."""

    fleet: Fleet
    slots: list[tuple[float, int]] = field(default_factory=list)
    draining: list[float] = field(default_factory=list)
    born: dict[int, float] = field(default_factory=dict)
    ready: dict[int, float] = field(default_factory=dict)
    lives: list[tuple[float, float]] = field(default_factory=list)
    made: int = 0

    def add(self, count: int, now: float, delay: float) -> None:
        for _ in range(count):
            self.born[self.made], self.ready[self.made] = now, now + delay
            for _ in range(self.fleet.concurrency):
                heapq.heappush(self.slots, (now + delay, self.made))
            self.made += 1

    def drop(self, count: int, now: float) -> None:
        """Take those away that are done first; a job that runs is let end."""
        last: dict[int, float] = {}
        for free, one in self.slots:
            last[one] = max(last.get(one, now), free)
        gone = set(sorted(last, key=lambda one: (last[one], one))[:count])
        self.draining += [free for free, one in self.slots if one in gone and free > now]
        self.slots = [slot for slot in self.slots if slot[1] not in gone]
        heapq.heapify(self.slots)
        for one in gone:
            self.lives.append((self.born.pop(one), last[one]))
            del self.ready[one]

    def running(self, now: float) -> int:
        self.draining = [end for end in self.draining if end > now]
        up = sum(1 for free, one in self.slots if free > now and self.ready[one] <= now)
        return up + len(self.draining)

    def pending(self, now: float) -> bool:
        return any(when > now for when in self.ready.values())


def serve(arrivals: Sequence[float] | np.ndarray, services: np.ndarray, fleet: Fleet) -> Served:
    """Let the jobs through, first come first served.

    ``arrivals``: seconds, ascending; ``services``: seconds that each job takes. Ends when every job
    has ended or was dropped, or when nothing can ever begin any more.
    """
    times, lasts = np.asarray(arrivals, float).tolist(), np.asarray(services, float).tolist()
    starts = [math.nan] * len(times)
    instances, scaler = _Instances(fleet), Scaler()
    instances.add(fleet.start, 0.0, 0.0)
    looks: list[tuple[float, float, float]] = []
    head = came = minute = 0
    while True:
        end = (minute + 1) * MINUTE
        head = _begin(times, lasts, starts, head, end, instances.slots, fleet.ttl_s)
        while head < len(times) and times[head] + fleet.ttl_s < end:
            head += 1
        while came < len(times) and times[came] <= end:
            came += 1
        backlog = max(came - head, 0) + instances.running(end)
        minute += 1
        starting = instances.pending(end)
        up = sum(1 for when in instances.ready.values() if when <= end)
        looks.append((end, up, backlog))
        if fleet.policies:
            _scale(scaler, minute, fleet, instances, backlog, starting=starting)
        if head >= len(times) and not backlog:
            break
        if not fleet.policies and not instances.slots and math.isinf(fleet.ttl_s):
            break
    begun = np.asarray(starts)
    lives = [*instances.lives, *((born, minute * MINUTE) for born in instances.born.values())]
    return Served(
        arrivals=np.asarray(times),
        starts=begun,
        ends=begun + np.asarray(lasts),
        looks=np.asarray(looks),
        lives=tuple(lives),
    )


def _begin(
    times: list[float],
    lasts: list[float],
    starts: list[float],
    head: int,
    end: float,
    slots: list[tuple[float, int]],
    ttl_s: float,
) -> int:
    """Every job that begins before ``end``; the first one that does not."""
    while head < len(times) and slots:
        came, (free, instance) = times[head], slots[0]
        begins = came if came > free else free
        if begins >= end:
            break
        if begins - came <= ttl_s:
            starts[head] = begins
            heapq.heapreplace(slots, (begins + lasts[head], instance))
        head += 1
    return head


def _scale(
    scaler: Scaler,
    minute: int,
    fleet: Fleet,
    instances: _Instances,
    backlog: int,
    *,
    starting: bool,
) -> None:
    """Ask the local service's scaler. While instances start the endpoint is being updated, and
    what is wished is not done, as in the local service."""
    assert fleet.policies
    up, now = len(instances.ready), minute * MINUTE
    wish = scaler.decide(
        minute,
        fleet.policies.target,
        fleet.policies.policies,
        fleet.policies.alarms,
        values=measure(backlog, up),
        capacity=up,
    )
    if wish is None or starting:
        return
    if wish.capacity > up:
        instances.add(wish.capacity - up, now, fleet.delay_s)
    else:
        instances.drop(up - wish.capacity, now)
    scaler.rest(minute, wish, grows=wish.capacity > up)
