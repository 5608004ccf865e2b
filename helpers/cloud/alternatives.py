"""Other instances for the same work, ranked: first those that can start now, then by price."""

from __future__ import annotations

import math
from dataclasses import dataclass

from helpers.cloud.images import IMAGES
from helpers.cloud.instances import INSTANCES, Instance
from helpers.cloud.needs import Need, quota_name
from helpers.cloud.prices import Price, money
from helpers.cloud.quotas import Quota, QuotaBook
from helpers.cloud.session import Cloud
from helpers.tables import Table, Tabular


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """An instance that has what the work needs, its price, and its quota in this account."""

    instance: Instance
    price: Price
    quota: Quota

    @property
    def ready(self) -> bool:
        """Whether it could start now."""
        free = (self.quota.applied or 0) - (self.quota.in_use or 0)
        return free >= self.quota.needed and self.quota.sold

    @property
    def words(self) -> str:
        if not self.quota.sold:
            return "not offered here"
        if self.ready:
            return "can start now"
        return "all in use" if self.quota.enough else "ask for a quota first"

    @property
    def _rank(self) -> tuple[bool, bool, float, str]:
        dollars = math.inf if self.price.per_hour is None else self.price.per_hour
        return not self.ready, not self.quota.sold, dollars, self.instance.type


@dataclass(frozen=True, kw_only=True, repr=False)
class Ranking(Tabular):
    """Alternatives, best first, for one need."""

    need: Need
    choices: tuple[Alternative, ...]

    @property
    def table(self) -> Table:
        return Table(
            head=("instance", "vCPU", "memory", "GPU", "GPU memory", "an hour", "quota", ""),
            rows=[_row(choice) for choice in self.choices],
            notes=[
                f"For: {self.need.what} (at least {self.need.gpu_memory:g} GiB on the GPU).",
                "Prices: " + "; ".join(sorted({c.price.source for c in self.choices})) + ".",
            ],
        )


def alternatives(cloud: Cloud, need: Need) -> Ranking:
    """Every instance the course knows that can do ``need``: enough GPU memory, a family that the
    image and the kind of endpoint take. Raises ``QuotaError`` when quotas cannot be read."""
    book = QuotaBook(cloud)
    choices = [
        Alternative(
            instance=instance,
            price=cloud.prices.price(instance.type, need.use),
            quota=book.quota(quota_name(instance.type, need.use), need.count),
        )
        for instance in INSTANCES.values()
        if suits(instance, need)
    ]
    return Ranking(need=need, choices=tuple(sorted(choices, key=lambda choice: choice._rank)))


def suits(instance: Instance, need: Need) -> bool:
    """Whether an instance has what a need asks for."""
    if not need.gpu_memory:
        return not instance.gpu
    return (
        instance.gpu_memory >= need.gpu_memory
        and (not need.image or instance.family in IMAGES[need.image].families)
        and (instance.multi_model or not need.multi_model)
    )


def _row(choice: Alternative) -> tuple[str, ...]:
    instance, dollars, quota = choice.instance, choice.price.per_hour, choice.quota
    return (
        instance.type,
        str(instance.vcpus),
        f"{instance.memory:g} GiB",
        instance.gpu or "-",
        f"{instance.gpu_memory:g} GiB" if instance.gpu else "-",
        money(dollars),
        "-" if quota.applied is None else f"{quota.applied:g}",
        choice.words,
    )
