"""Before the day: what so many learners need at once, what the account has, waits and money.

A quota does not queue: ``CreateEndpoint`` beyond it is refused. So learners beyond it go in groups,
and a wait here is the time until a place is free. Hours are the plan's (``helpers.cloud.needs``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from helpers.bench.scale_facts import Fact
from helpers.bench.scale_load import job_seconds
from helpers.bench.scale_queue import Fleet, course_policies, serve
from helpers.cloud.costs import estimate
from helpers.cloud.needs import COURSE, QUOTA_USES, TOTAL_QUOTA, quotas_needed
from helpers.cloud.prices import money
from helpers.cloud.quotas import Quota, QuotaBook
from helpers.cloud.session import Cloud
from helpers.cohort.seats import Cohort
from helpers.tables import Table

SPREAD_S = 600.0
"""Within what time everybody arrives at the same cell: some read faster."""
NIGHT_H = 14.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One quota for a whole room. ``one`` and ``all``: instances for a learner, and for everybody
    at once. ``held_s``: for how long each keeps them; ``waits``: seconds until each has a place,
    empty where nobody ever gets one."""

    quota: Quota
    one: int
    seats: int
    held_s: float
    waits: tuple[float, ...]

    @property
    def all(self) -> int:
        return self.one * self.seats

    @property
    def at_once(self) -> int:
        """Learners for whom there is room now, beside what runs already."""
        free = (self.quota.applied or 0) - (self.quota.in_use or 0)
        return min(max(int(free // self.one), 0), self.seats)

    @property
    def enough(self) -> bool:
        return self.at_once >= self.seats

    @property
    def spared(self) -> bool:
        """Whether nobody needs it who works in Studio or on a machine of their own."""
        return self.quota.name.endswith(QUOTA_USES["notebook"])

    @property
    def verdict(self) -> str:
        if self.enough:
            return "enough for all at once"
        if self.spared:
            return f"{self.at_once} at a time; none needed in Studio or on laptops"
        if not self.at_once:
            return f"nobody can begin: ask for {self.all}"
        return (
            f"{self.at_once} at a time: half wait {_minutes(float(np.median(self.waits)))}, the "
            f"last {_minutes(max(self.waits))}; ask for {self.all}"
        )


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The room's jobs behind one endpoint of the instructor's, of up to ``most`` instances."""

    most: int
    waits: tuple[float, ...]
    dollars: float | None

    def __str__(self) -> str:
        half, last = float(np.median(self.waits)), max(self.waits)
        return (
            f"up to {self.most}: half of the jobs begin within {_minutes(half)}, the last after "
            f"{_minutes(last)}, for {money(self.dollars)}"
        )


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What the check found; ``ready``: nobody has to wait, and the money is enough.

    ``dollars`` for the whole cohort by the plan, ``night`` for endpoints left up until tomorrow.
    """

    cohort: Cohort
    seats: int
    turns: tuple[Turn, ...]
    shared: tuple[Shared, ...]
    dollars: float
    night: float
    budget: float | None
    notes: tuple[str, ...]

    @property
    def affordable(self) -> bool:
        return self.budget is None or self.dollars <= self.budget

    @property
    def ready(self) -> bool:
        return self.affordable and all(turn.enough or turn.spared for turn in self.turns)

    def __str__(self) -> str:
        table = Table(
            head=("quota", "a learner", "all", "applied", "in use", ""),
            rows=[
                (
                    turn.quota.name,
                    str(turn.one),
                    str(turn.all),
                    "-" if turn.quota.applied is None else f"{turn.quota.applied:g}",
                    "?" if turn.quota.in_use is None else str(turn.quota.in_use),
                    turn.verdict,
                )
                for turn in self.turns
            ],
        )
        within = {None: "", True: ", within the budget", False: f", MORE than {money(self.budget)}"}
        said = within[None if self.budget is None else self.affordable]
        lines = [
            f"{self.seats} learners of {self.cohort.name}, all at the same notebook:\n",
            str(table),
            "",
            f"By the plan the day costs {money(self.dollars)} "
            f"({money(self.dollars / self.seats)} each){said}.",
            f"Endpoints of everybody, forgotten for {NIGHT_H:g} hours: {money(self.night)} more.",
            "",
            "Fine-tuning for all behind one endpoint of yours, by the load model:",
            *(f"  {one}" for one in self.shared),
            "",
            *self.notes,
            f"\n{'READY' if self.ready else 'NOT READY'}",
        ]
        return "\n".join(lines)


def preflight(
    cloud: Cloud,
    cohort: Cohort,
    seats: int,
    facts: Mapping[str, Fact],
    *,
    budget: float | None = None,
    notes: tuple[str, ...] = (),
) -> Preflight:
    """Look at quotas and prices, and simulate the room. ``budget`` in dollars for all.

    Raises ``QuotaError`` when the account does not let us look.
    """
    book = QuotaBook(cloud)
    turns = [_turn(book.quota(name, one), one, seats) for name, one in quotas_needed().items()]
    plan = [
        estimate(cloud, need.what, need.instance_type, count=need.count, hours=need.hours,
                 use=need.use)
        for need in COURSE
    ]  # fmt: skip
    hosted = [one for need, one in zip(COURSE, plan, strict=True) if need.use == "hosting"]
    tuner = cloud.prices.price(next(need for need in COURSE if need.notebook == "03").instance_type)
    unknown = [one.price.instance_type for one in plan if one.dollars is None]
    if unknown:
        notes = (*notes, f"Without a price, and not in the sum: {', '.join(sorted(set(unknown)))}.")
    return Preflight(
        cohort=cohort,
        seats=seats,
        turns=tuple(turns),
        shared=tuple(_share(most, seats, facts, tuner.per_hour) for most in (1, 3, 10)),
        dollars=seats * sum(one.dollars or 0.0 for one in plan),
        night=seats * NIGHT_H * sum(one.per_hour or 0.0 for one in hosted),
        budget=budget,
        notes=(*notes, f"Prices: {'; '.join(sorted({one.price.source for one in plan}))}."),
    )


def _turn(quota: Quota, one: int, seats: int) -> Turn:
    hours = [
        need.hours
        for need in COURSE
        if quota.name == need.quota or (quota.name == TOTAL_QUOTA and need.use == "hosting")
    ]
    turn = Turn(quota=quota, one=one, seats=seats, held_s=max(hours) * 3600, waits=())
    if not turn.at_once:
        return turn
    waits = place_waits(seats, turn.at_once, turn.held_s)
    return Turn(quota=quota, one=one, seats=seats, held_s=turn.held_s, waits=waits)


def place_waits(seats: int, at_once: int, held_s: float, *, seed: int = 0) -> tuple[float, ...]:
    """Seconds that each of ``seats`` learners waits where ``at_once`` have a place and keep it for
    about ``held_s`` seconds; all come within ten minutes."""
    random = np.random.default_rng(seed)
    came = np.sort(random.uniform(0, SPREAD_S, seats))
    return tuple(
        serve(came, held_s * random.uniform(0.8, 1.2, seats), Fleet(start=at_once)).waits.tolist()
    )


def _share(most: int, seats: int, facts: Mapping[str, Fact], price: float | None) -> Shared:
    random = np.random.default_rng(0)
    came = np.sort(random.uniform(0, SPREAD_S, seats))
    fleet = Fleet(start=0, delay_s=facts["instance.delay"].value, policies=course_policies(0, most))
    served = serve(came, job_seconds(seats, facts, random), fleet)
    hours = served.instance_seconds(0, float("inf")) / 3600
    return Shared(
        most=most,
        waits=tuple(served.waits.tolist()),
        dollars=None if price is None else hours * price,
    )


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
