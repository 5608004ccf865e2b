"""Who is where and what runs: one line a learner, from signs, names and tags in the account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from helpers.cloud.kinds import pages
from helpers.cloud.meter import Running, look
from helpers.cloud.prices import money
from helpers.cloud.session import Cloud
from helpers.cohort.members import as_learner, members, owner_of
from helpers.cohort.progress import Progress, progress
from helpers.cohort.seats import Cohort
from helpers.tables import Table, Tabular

QUIET = timedelta(minutes=45)
"""Whoever runs something and has written nothing for so long may need a visit."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A learner: how far, which endpoints exist and which training jobs run."""

    learner: str
    progress: Progress
    endpoints: tuple[Running, ...] = ()
    jobs: tuple[str, ...] = ()

    @property
    def per_hour(self) -> float:
        """Dollars an hour of the endpoints, as far as prices are known."""
        return sum(one.per_hour or 0.0 for one in self.endpoints)

    @property
    def cost(self) -> float:
        """Dollars that the endpoints of now have cost so far."""
        return sum(one.cost or 0.0 for one in self.endpoints)

    def look_at(self, now: datetime) -> str:
        """Why the instructor should walk over; empty if nothing is known."""
        reasons = [
            f"{_short(one.name)} is {'FORGOTTEN?' if one.expired else one.status}"
            for one in self.endpoints
            if one.expired or one.status == "Failed"
        ]
        seen = self.progress.seen
        if self.endpoints and seen and now - seen > QUIET:
            reasons.append(f"nothing written for {_ago(now - seen)}")
        return "; ".join(reasons)


@dataclass(frozen=True, kw_only=True, repr=False)
class Board(Tabular):
    """Everybody of a cohort at one moment."""

    cohort: Cohort
    places: tuple[Place, ...]
    now: datetime
    local: bool

    @property
    def per_hour(self) -> float:
        return sum(place.per_hour for place in self.places)

    @property
    def table(self) -> Table:
        would = "would cost on AWS" if self.local else "costs"
        return Table(
            head=("learner", "is at", "done", "last seen", "runs", "an hour", "so far", "look"),
            rows=[self._row(place) for place in self.places],
            notes=[
                f"{len(self.places)} learners of {self.cohort.name} at {self.now:%H:%M} UTC. What "
                f'runs {would} {money(self.per_hour)} an hour; "so far" counts the endpoints of '
                "now, and no training."
            ],
        )

    def _row(self, place: Place) -> Sequence[str]:
        been = place.progress
        runs = [f"{_short(one.name)} ({one.instances})" for one in place.endpoints]
        runs += [f"{_short(name)} trains" for name in place.jobs]
        return (
            place.learner,
            f"{been.at}{', at its end' if been.finished else ''}" if been.at else "?",
            " ".join(notebook[:2] for notebook in been.done) or "-",
            f"{_ago(self.now - been.seen)} ago" if been.seen else "-",
            ", ".join(runs) or "-",
            money(place.per_hour) if place.endpoints else "-",
            money(place.cost) if place.endpoints else "-",
            place.look_at(self.now),
        )


def board(cloud: Cloud, cohort: Cohort, *, seats: int = 0) -> Board:
    """Look at everybody of whom the account knows, and at the first ``seats``.

    Raises ``ClientError`` when the account does not let us look.
    """
    endpoints, jobs = _endpoints(cloud, cohort), _jobs(cloud, cohort)
    places = [
        Place(
            learner=learner,
            progress=progress(as_learner(cloud, learner)),
            endpoints=tuple(endpoints.get(learner, ())),
            jobs=tuple(jobs.get(learner, ())),
        )
        for learner in members(cloud, cohort, seats=seats)
    ]
    return Board(cohort=cohort, places=tuple(places), now=datetime.now(UTC), local=cloud.local)


def _endpoints(cloud: Cloud, cohort: Cohort) -> Mapping[str, Sequence[Running]]:
    found: dict[str, list[Running]] = defaultdict(list)
    asked = {"NameContains": f"avatar-{cohort.name}-"}
    for item in pages(cloud, "sagemaker", "list_endpoints", "Endpoints", **asked):
        name, owner = item["EndpointName"], owner_of(item["EndpointName"])
        if cohort.holds(owner) and (one := look(cloud, name)):
            found[owner].append(replace(one, created=one.created.astimezone(UTC)))
    return found


def _jobs(cloud: Cloud, cohort: Cohort) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    asked = {"NameContains": f"avatar-{cohort.name}-", "StatusEquals": "InProgress"}
    for item in pages(cloud, "sagemaker", "list_training_jobs", "TrainingJobSummaries", **asked):
        owner = owner_of(item["TrainingJobName"])
        if cohort.holds(owner):
            found[owner].append(item["TrainingJobName"])
    return found


def _short(name: str) -> str:
    return name.partition("--")[2] or name


def _ago(time: timedelta) -> str:
    minutes = max(time.total_seconds(), 0) / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
