"""The bench of scale: both services at 10, 1,000 and 1,000,000 avatars a day, simulated.

Jobs go through ``scale_queue``, pictures through ``scale_avatars``; what goes in is in
``scale_facts``, and each answer is as good as that. Every number follows from the seeds: two runs
write the same rows. At a million a day the pictures are those of one of ``cells`` equal endpoints,
each of which must fit the quota of an account.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from helpers.bench.report import Row, measured
from helpers.bench.scale_avatars import House, Painted, paint
from helpers.bench.scale_facts import Fact, facts_here, limits, with_jobs
from helpers.bench.scale_load import DAY, arrivals, job_seconds, pictures
from helpers.bench.scale_queue import Fleet, Served, course_policies, serve
from helpers.settings import Settings

TTL_S = 21600
"""``RequestTTLSeconds``: AWS's default, and the most it takes (botocore's service model)."""
BUSY = 0.7
"""What share of a minute a painting GPU should be busy."""
Rows = dict[str, tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How the fine-tuning endpoint scales; see ``scale_queue.course_policies``."""

    least: int
    most: int
    backlog: float
    in_s: int = 300


@dataclass(frozen=True, kw_only=True)
class Size:
    """So many avatars a day, and what serves them. ``course``: the course's policies, with as many
    instances allowed as ``product`` has, which is how a product would do it."""

    avatars: int
    days: float
    course: Policy
    product: Policy
    painters: tuple[int, int]
    cells: int = 1
    warm_up: float = 0.25


SIZES = (
    Size(
        avatars=10, days=30, course=Policy(least=0, most=2, backlog=5),
        product=Policy(least=0, most=2, backlog=5), painters=(1, 2),
    ),
    Size(
        avatars=1000, days=7, course=Policy(least=0, most=8, backlog=5),
        product=Policy(least=2, most=8, backlog=2), painters=(1, 4),
    ),
    Size(
        avatars=1_000_000, days=1, course=Policy(least=0, most=3000, backlog=5),
        product=Policy(least=300, most=3000, backlog=0.85, in_s=900), painters=(2, 20), cells=125,
    ),
)  # fmt: skip
SEEDS = (0, 1, 2)


def run(settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every row. ``quick`` takes one seed and less than an hour of the million's day."""
    facts = given(settings)
    rows = [*given_rows(facts), *check_rows(20_000 if quick else 200_000)]
    for size in map(_shortened, SIZES) if quick else SIZES:
        say(f"{size.avatars:,} avatars a day")
        rows += size_rows(size, facts, SEEDS[:1] if quick else SEEDS)
    return [*rows, *limit_rows(facts)]


def given(settings: Settings) -> Mapping[str, Fact]:
    """What the model is given on this machine: measured here, or counted from a job's work."""
    from helpers.bases.registry import ORIGINAL
    from helpers.bench.ledger import job_work
    from helpers.tuning.config import FineTuneConfig
    from helpers.tuning.presets import COURSE

    config = FineTuneConfig.preset(COURSE, ORIGINAL)
    warm, cold = (job_work(config, warm=there).total for there in (True, False))
    return with_jobs(facts_here(settings.outputs / "bench"), warm=warm, cold=cold)


def _shortened(size: Size) -> Size:
    days = min(size.days, max(300 / size.avatars, 0.02))
    return replace(size, days=days, warm_up=min(size.warm_up, days / 2))


def given_rows(facts: Mapping[str, Fact]) -> list[Row]:
    """What went in, and which of it a bench of this machine measured; the page has the sources."""
    here = [key for key, one in facts.items() if one.source.startswith("bench ")]
    return [
        *(Row(name=f"given.{key}", value=one.value, unit=one.unit) for key, one in facts.items()),
        Row(name="given.measured-here", value=", ".join(here) or "nothing"),
    ]


def size_rows(size: Size, facts: Mapping[str, Fact], seeds: tuple[int, ...]) -> list[Row]:
    """Waits, instances, cold starts, money and bytes at one size; median and spread over seeds."""
    found: list[Rows] = []
    for seed in seeds:
        one = _pictures(size, facts, seed)
        for name in ("course", "product"):
            one |= _tuned(size, name, facts, seed)
        one["cost"] = ("$", one["fine-tune.product.cost"][1] + one["pictures.cost"][1])
        found.append(one)
    rows = [
        measured(f"{size.avatars}.{name}", [float(one[name][1]) for one in found], unit)
        for name, (unit, _) in found[0].items()
    ]
    stored = size.avatars * 30 * _megabytes(facts) / 1e6
    money = stored * 1000 * facts["price.storage"].value
    return [
        *rows,
        Row(name=f"{size.avatars}.storage.month", value=stored, unit="TB"),
        Row(name=f"{size.avatars}.storage.cost", value=money, unit="$ a month"),
    ]


def _megabytes(facts: Mapping[str, Fact]) -> float:
    painted = facts["habit.sessions"].value * facts["habit.pictures"].value
    return (
        facts["size.adapter"].value
        + facts["size.photos"].value
        + painted * facts["size.picture"].value
    )


def fine_tune(size: Size, policy: Policy, facts: Mapping[str, Fact], seed: int) -> Served:
    """The fine-tuning endpoint for as many days as the size has, and a warm-up before."""
    random = np.random.default_rng([seed, size.avatars])
    days = size.days + size.warm_up
    came = arrivals(size.avatars, days, facts["habit.swing"].value, random)
    fleet = Fleet(
        start=policy.least,
        delay_s=facts["instance.delay"].value,
        policies=course_policies(
            policy.least, policy.most, backlog=policy.backlog, in_s=policy.in_s
        ),
        ttl_s=TTL_S,
    )
    return serve(came, job_seconds(len(came), facts, random), fleet)


def _tuned(size: Size, name: str, facts: Mapping[str, Fact], seed: int) -> Rows:
    served = fine_tune(size, getattr(size, name), facts, seed)
    since, until = size.warm_up * DAY, (size.warm_up + size.days) * DAY
    counted = served.arrivals >= since
    waits = (served.starts - served.arrivals)[counted]
    waits = waits[~np.isnan(waits)]
    jobs = max(int(counted.sum()), 1)
    hours = served.instance_seconds(since, until) / 3600
    return {
        f"fine-tune.{name}.wait.p50": ("s", float(np.percentile(waits, 50))),
        f"fine-tune.{name}.wait.p95": ("s", float(np.percentile(waits, 95))),
        f"fine-tune.{name}.dropped": ("", 1 - len(waits) / jobs),
        f"fine-tune.{name}.instances.peak": ("", served.instances_peak(since)),
        f"fine-tune.{name}.instances.mean": ("", hours / 24 / size.days),
        f"fine-tune.{name}.cold-starts": ("a day", served.started(since, until) / size.days),
        f"fine-tune.{name}.cost": ("$", hours * facts["price.tuner"].value / jobs),
    }


def paint_cell(size: Size, facts: Mapping[str, Fact], seed: int) -> Painted:
    """The multi-model endpoint of one cell."""
    random = np.random.default_rng([seed, size.avatars, 1])
    made = size.avatars / size.cells
    times, whose = pictures(made, size.days + size.warm_up, facts, random)
    seconds, (least, most) = facts["picture"].value, size.painters
    house = House(
        least=least,
        most=most,
        picture_s=seconds,
        load_s=facts["avatar.fetch"].value + facts["avatar.load"].value,
        evict_s=facts["avatar.evict"].value,
        room=int(facts["avatar.room"].value),
        delay_s=facts["instance.delay"].value,
        rate=BUSY * 60 / seconds,
        in_s=900,
    )
    return paint(times, whose, house)


def _pictures(size: Size, facts: Mapping[str, Fact], seed: int) -> Rows:
    painted = paint_cell(size, facts, seed)
    since, until = size.warm_up * DAY, (size.warm_up + size.days) * DAY
    counted = (painted.arrivals >= since) & (painted.arrivals < until)
    answers = painted.waits[counted] + facts["picture"].value
    looks = painted.looks[(painted.looks[:, 0] >= since) & (painted.looks[:, 0] <= until)]
    billed = sum(max(0, min(gone, until) - max(born, since)) for born, gone in painted.lives)
    started = sum(1 for born, _ in painted.lives if since <= born < until)
    hours, cells = billed / 3600 / size.days * size.cells, size.cells
    loads = float(painted.cold[counted].sum())
    return {
        "pictures": ("a day", counted.sum() * cells / size.days),
        "pictures.answer.p50": ("s", float(np.percentile(answers, 50))),
        "pictures.answer.p95": ("s", float(np.percentile(answers, 95))),
        "pictures.answer.p99": ("s", float(np.percentile(answers, 99))),
        "pictures.instances.peak": ("", looks[:, 1].max() * cells),
        "pictures.instances.mean": ("", hours / 24),
        "pictures.cold-starts": ("a day", started * cells / size.days),
        "pictures.avatar-loads": ("a day", loads * cells / size.days),
        "pictures.hits": ("", 1 - loads / max(int(counted.sum()), 1)),
        "pictures.cost": ("$", hours * facts["price.painter"].value / size.avatars),
    }


def limit_rows(facts: Mapping[str, Fact]) -> list[Row]:
    """At how many avatars a day each limit is reached, the first one by name."""
    found = limits(facts, facts["job.warm"].value, facts["picture"].value)
    granted = [one for one in found if one.bites > 0]
    return [
        *(Row(name=f"limit.{one.key}", value=one.bites, unit="avatars a day") for one in found),
        Row(name="limit.first", value=found[0].key),
        Row(name="limit.first.once-granted", value=granted[0].key),
    ]


def erlang_c(servers: int, load: float) -> float:
    """The chance that a job waits in M/M/c; ``load`` in servers, below ``servers``. Erlang's
    formula by the usual recursion of his loss formula."""
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def check_rows(jobs: int, *, servers: int = 10, load: float = 7.5, seed: int = 0) -> list[Row]:
    """How far the queue is from what is known of queues, as a share of it: Erlang's formula for
    waiting, and Little's law between what the minutes saw and what the jobs say."""
    random = np.random.default_rng(seed)
    came = np.cumsum(random.exponential(1.0, jobs))
    served = serve(came, random.exponential(load, jobs), Fleet(start=servers))
    chance = erlang_c(servers, load)
    waited = float((served.waits > 0).mean())
    known = chance * load / (servers - load)
    seen = float(served.looks[served.looks[:, 0] <= came[-1], 2].mean())
    inside = float((served.ends - served.arrivals).sum() / came[-1])
    return [
        Row(name="check.erlang-c.waiting", value=abs(waited / chance - 1)),
        Row(name="check.erlang-c.wait", value=abs(float(served.waits.mean()) / known - 1)),
        Row(name="check.little", value=abs(seen / inside - 1)),
        Row(name="check.busy", value=abs(_busy(served, servers) - load / servers)),
    ]


def _busy(served: Served, servers: int) -> float:
    """The share of its slots' time in which the fleet worked."""
    work = math.fsum(served.ends - served.starts)
    return work / (servers * float(served.ends.max()))
