"""What runs now and what it has cost, from AWS's own word and the ledger's.

Either may be missing: endpoints of a lost ledger are found by their tags, and what AWS does not
tell is read from the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.costs import instances_in_words, read_expiry
from helpers.cloud.ledger import Entry, Ledger
from helpers.cloud.prices import money
from helpers.cloud.resources import named, tagged
from helpers.cloud.session import Cloud
from helpers.cloud.usage import describe, endpoint_instances
from helpers.tables import Table, Tabular

METERED = "endpoint"
"""The kind of resource that costs by the hour for as long as it exists."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """An endpoint that exists. ``per_hour`` in dollars for all its instances, ``None`` without a
    price; ``cost`` so far, as if it always had as many instances as now."""

    name: str
    status: str
    instances: str
    per_hour: float | None
    price_source: str
    created: datetime
    expires: datetime | None = None

    @property
    def hours(self) -> float:
        return (datetime.now(UTC) - self.created).total_seconds() / 3600

    @property
    def cost(self) -> float | None:
        return None if self.per_hour is None else self.per_hour * self.hours

    @property
    def expired(self) -> bool:
        """Whether it is past its expiry: probably somebody forgot it."""
        return self.expires is not None and self.expires < datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, repr=False)
class Meter:
    """Everything that runs; ``note`` says what could not be asked."""

    items: tuple[Running, ...]
    local: bool
    note: str = ""

    @property
    def per_hour(self) -> float:
        """Dollars an hour, as far as prices are known."""
        return sum(item.per_hour or 0.0 for item in self.items)

    @property
    def expired(self) -> tuple[Running, ...]:
        return tuple(item for item in self.items if item.expired)

    def __str__(self) -> str:
        lines = [self._words(item) for item in self.items] or ["Nothing is running."]
        if self.note:
            lines.append(self.note)
        if self.items:
            lines.append("Notebook 09 or `python3 course.py clean` ends everything.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _words(self, item: Running) -> str:
        would = "would cost on AWS" if self.local else "costs"
        text = (
            f"{item.name}: {item.status} on {item.instances}, {would} {money(item.per_hour)} "
            f"an hour, {money(item.cost)} so far"
        )
        if item.expires is None:
            return f"{text}; it has no expiry"
        hours = (item.expires - datetime.now(UTC)).total_seconds() / 3600
        clock = f"{item.expires:%H:%M} UTC"
        if item.expired:
            return f"{text}. FORGOTTEN? It expired {-hours:.1f} h ago ({clock}): end or extend it"
        return f"{text}; expires in {hours:.1f} h ({clock})"


def running(cloud: Cloud, ledger: Ledger) -> Meter:
    """What runs, found by tag, by name and by ledger; ``note`` says if AWS could not be asked."""
    entries = {entry.name: entry for entry in ledger.open() if entry.kind == METERED}
    try:
        ours = [*tagged(cloud), *named(cloud, METERED)]
        names = {item.name for item in ours if item.kind == METERED} | set(entries)
        found = [look(cloud, name, entries.get(name)) for name in sorted(names)]
        return Meter(items=tuple(item for item in found if item), local=cloud.local)
    except (ClientError, BotoCoreError) as trouble:
        return Meter(
            items=tuple(map(_remembered, entries.values())),
            local=cloud.local,
            note=f"AWS could not be asked, so this is what the ledger knows. {trouble}",
        )


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What one resource cost from its creation to its removal, or until now.

    ``ended``: when, ``None`` while it runs. ``remark``: why the dollars are uncertain, if they are.
    """

    name: str
    instances: str
    created: datetime
    ended: datetime | None
    hours: float
    dollars: float | None
    remark: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class Bill(Tabular):
    """Everything that ever cost by the hour, oldest first, and the total."""

    charges: tuple[Charge, ...]
    local: bool
    note: str = ""

    @property
    def dollars(self) -> float:
        """The sum of what is known."""
        return sum(charge.dollars or 0.0 for charge in self.charges)

    @property
    def table(self) -> Table:
        would = "would have cost on AWS" if self.local else "cost, by this reckoning"
        unknown = sum(charge.dollars is None for charge in self.charges)
        total = f"In all it {would} {money(self.dollars)}"
        notes = [f"{total}, and {unknown} without a known price." if unknown else f"{total}."]
        return Table(
            head=("endpoint", "instances", "created (UTC)", "ended", "hours", "dollars", ""),
            rows=[
                (
                    charge.name,
                    charge.instances,
                    f"{charge.created:%Y-%m-%d %H:%M}",
                    f"{charge.ended:%Y-%m-%d %H:%M}" if charge.ended else "still there",
                    f"{charge.hours:.2f}",
                    money(charge.dollars),
                    charge.remark,
                )
                for charge in self.charges
            ],
            notes=[*notes, self.note] if self.note else notes,
        )


def bill(cloud: Cloud, ledger: Ledger) -> Bill:
    """What everything cost, the removed endpoints included, as long as the ledger remembers them.

    Storage, requests and messages are not in it.
    """
    meter = running(cloud, ledger)
    now = {item.name: item for item in meter.items}
    charges = [_charge(entry, now) for entry in ledger.history() if entry.kind == METERED]
    known = {charge.name for charge in charges if charge.ended is None}
    charges += [
        Charge(
            name=item.name, instances=item.instances, created=item.created, ended=None,
            hours=item.hours, dollars=item.cost, remark="found by its tags",
        )
        for item in meter.items
        if item.name not in known
    ]  # fmt: skip
    return Bill(
        charges=tuple(sorted(charges, key=lambda charge: charge.created)),
        local=cloud.local,
        note=meter.note,
    )


def _charge(entry: Entry, now: dict[str, Running]) -> Charge:
    remark = ""
    if entry.removed is None and entry.name not in now:
        remark = "gone, at an unknown time: at most this"
    elif entry.created is None:
        remark = "never confirmed: perhaps it was never made"
    here = now.get(entry.name) if entry.removed is None else None
    return Charge(
        name=entry.name,
        instances=here.instances if here else entry.instances,
        created=_moment(entry.created or entry.planned),
        ended=None if entry.removed is None else _moment(entry.removed),
        hours=entry.hours,
        dollars=here.cost if here else entry.cost,
        remark=remark,
    )


def look(cloud: Cloud, name: str, entry: Entry | None = None) -> Running | None:
    """The endpoint as AWS describes it, by its name; ``None`` if it does not exist."""
    sagemaker = cloud.client("sagemaker")
    found = describe(sagemaker.describe_endpoint, EndpointName=name)
    if found is None:
        return None
    tags = describe(sagemaker.list_tags, ResourceArn=found["EndpointArn"])
    counts = endpoint_instances(cloud, found)
    prices = [(cloud.prices.price(kind), count) for kind, count in counts.items()]
    known = [(price.per_hour, count) for price, count in prices if price.per_hour is not None]
    per_hour = sum(dollars * count for dollars, count in known)
    words = " + ".join(instances_in_words(kind, count) for kind, count in counts.items())
    return Running(
        name=name,
        status=found["EndpointStatus"],
        instances=words or (entry.instances if entry else "") or "unknown instances",
        per_hour=per_hour if counts and len(known) == len(counts) else None,
        price_source="; ".join(sorted({price.source for price, _ in prices})),
        created=found["CreationTime"],
        expires=read_expiry(tags["Tags"] if tags else ()),
    )


def _remembered(entry: Entry) -> Running:
    return Running(
        name=entry.name,
        status="in the ledger",
        instances=entry.instances or "unknown instances",
        per_hour=entry.price_per_hour,
        price_source=entry.price_source,
        created=_moment(entry.created or entry.planned),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
