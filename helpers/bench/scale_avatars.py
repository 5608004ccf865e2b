"""A multi-model endpoint as a load model: avatars that are loaded on first use, and one GPU each.

A picture goes to an instance that holds its avatar. Where none does, or the one that does is far
behind, the least busy one loads the avatar; meanwhile its GPU paints others. AWS says as much and
no more: how far behind is too far is ours (``House.patience_s``).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers.bench.scale_queue import MINUTE
from helpers.local.scaling import Scaler

METRIC = "SageMakerVariantInvocationsPerInstance"


@dataclass(frozen=True, kw_only=True)
class House:
    """The endpoint. An instance paints a picture in ``picture_s`` and holds ``room`` avatars, of
    which the longest unused goes first. A load takes ``load_s``, and ``evict_s`` more where another
    avatar has to go. ``patience_s``: how much longer than elsewhere a picture waits for an instance
    that holds its avatar. ``rate``: pictures a minute and instance that target tracking aims at; 0:
    nothing scales."""

    least: int
    most: int
    picture_s: float
    load_s: float
    evict_s: float
    room: int
    patience_s: float = 10.0
    delay_s: float = 0.0
    rate: float = 0.0
    in_s: int = 300
    out_s: int = 60


@dataclass(frozen=True, kw_only=True)
class Painted:
    """Pictures in the order in which they were asked for: when, when begun and whether the avatar
    had to be loaded first; ``lives`` and ``looks`` as in ``scale_queue.Served``, the backlog
    being the minute's calls."""

    arrivals: np.ndarray
    starts: np.ndarray
    cold: np.ndarray
    looks: np.ndarray
    lives: tuple[tuple[float, float], ...]

    @property
    def waits(self) -> np.ndarray:
        """Seconds from the call to the begin of painting, a load included."""
        return self.starts - self.arrivals


@dataclass
class _Instance:
    """``promised``: when its GPU will have painted all that it was given; ``free``: all that it
    has begun."""

    born: float
    ready: float
    free: float = 0.0
    promised: float = 0.0
    loaded: OrderedDict[int, float] = field(default_factory=OrderedDict)


def paint(arrivals: np.ndarray, avatars: np.ndarray, house: House) -> Painted:
    """Let the pictures through. ``arrivals``: seconds, ascending; ``avatars``: whom each shows."""
    times, whose = arrivals.tolist(), avatars.tolist()
    starts, cold = np.full(len(times), np.nan), np.zeros(len(times), bool)
    fleet = [_Instance(0.0, 0.0) for _ in range(house.least)]
    homes: dict[int, _Instance] = {}
    scaler = Scaler()
    lives: list[tuple[float, float]] = []
    looks: list[tuple[float, float, float]] = []
    due: list[tuple[float, int, _Instance]] = []
    minute = head = 0
    while head < len(times) or due:
        end, first = (minute + 1) * MINUTE, head
        up = [one for one in fleet if one.ready <= minute * MINUTE]
        while head < len(times) and times[head] < end:
            one = _choose(up, homes.get(whose[head]), whose[head], times[head], house)
            homes[whose[head]] = one
            when, cold[head] = _ready_at(one, whose[head], times[head], house)
            one.promised = max(one.promised, when) + house.picture_s
            heapq.heappush(due, (when, head, one))
            head += 1
        while due and due[0][0] < end:
            when, number, one = heapq.heappop(due)
            starts[number] = when if when > one.free else one.free
            one.free = starts[number] + house.picture_s
        minute += 1
        looks.append((end, len(up), head - first))
        if house.rate and len(up) == len(fleet):
            wished = _wish(scaler, minute, house, head - first, len(fleet))
            for gone in fleet[wished:]:
                lives.append((gone.born, max(end, gone.promised)))
                gone.loaded.clear()
            fleet = fleet[:wished]
            fleet += [_Instance(end, end + house.delay_s) for _ in range(wished - len(fleet))]
    lives += [(one.born, minute * MINUTE) for one in fleet]
    return Painted(
        arrivals=np.asarray(times),
        starts=starts,
        cold=cold,
        looks=np.asarray(looks),
        lives=tuple(lives),
    )


def _choose(
    up: list[_Instance], home: _Instance | None, avatar: int, now: float, house: House
) -> _Instance:
    """The instance that paints this picture."""
    if home and avatar in home.loaded and home.promised - now <= house.patience_s:
        return home
    least = min(up, key=lambda one: one.promised)
    if home and avatar in home.loaded and home.promised - least.promised <= house.patience_s:
        return home
    return least


def _ready_at(one: _Instance, avatar: int, now: float, house: House) -> tuple[float, bool]:
    """When the avatar can be painted, and whether it had to be loaded for that."""
    loaded = one.loaded
    if avatar in loaded:
        loaded.move_to_end(avatar)
        return max(now, loaded[avatar]), False
    seconds = house.load_s
    if len(loaded) >= house.room:
        loaded.popitem(last=False)
        seconds += house.evict_s
    loaded[avatar] = now + seconds
    return now + seconds, True


def _wish(scaler: Scaler, minute: int, house: House, calls: int, up: int) -> int:
    policy: dict[str, Any] = {
        "PolicyName": "calls",
        "PolicyARN": "policy/calls",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": house.rate,
            "CustomizedMetricSpecification": {"MetricName": METRIC},
            "ScaleOutCooldown": house.out_s,
            "ScaleInCooldown": house.in_s,
        },
    }
    target = {"MinCapacity": house.least, "MaxCapacity": house.most}
    values = {METRIC: calls / up}
    wish = scaler.decide(minute, target, [policy], [], values=values, capacity=up)
    if wish is None:
        return up
    scaler.rest(minute, wish, grows=wish.capacity > up)
    return wish.capacity
