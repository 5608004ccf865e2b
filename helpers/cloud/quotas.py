"""Quotas: what the course needs, what the account may have, and what is in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from helpers.cloud.needs import QUOTA_USES, TOTAL_QUOTA, quotas_needed
from helpers.cloud.quota_requests import latest_request, list_quotas
from helpers.cloud.session import Cloud
from helpers.cloud.usage import instances_in_use
from helpers.tables import Table, Tabular


@dataclass(frozen=True, kw_only=True)
class Quota:
    """One quota, in instances. ``in_use``: ``None`` where we may not look.

    ``offered`` says whether the region has the instance at all, and how we know; ``applied`` is
    ``None`` where it lists no such quota. ``request``: the state of an open request for more.
    """

    name: str
    code: str
    needed: int
    applied: float | None
    in_use: int | None
    adjustable: bool
    offered: str
    request: str = ""

    @property
    def enough(self) -> bool:
        """Whether the account may start what the course needs; others may be using it now."""
        return self.applied is not None and self.applied >= self.needed

    @property
    def sold(self) -> bool:
        """Whether the region has the instance, as far as we can tell."""
        return self.applied is not None and not self.offered.startswith("no")

    @property
    def verdict(self) -> str:
        if not self.sold:
            return "not offered here: take another type or region"
        if not self.enough:
            what = "zero" if self.applied == 0 else "too few"
            next = f"asked for {self.request}" if self.request else "ask for more, or take another"
            return f"{what}: {next}"
        if (self.applied or 0) - (self.in_use or 0) < self.needed:
            return f"enough, but {self.in_use} in use now"
        return "enough"


@dataclass(frozen=True, kw_only=True, repr=False)
class QuotaReport(Tabular):
    """Every quota that the course needs, in its order."""

    region: str
    quotas: tuple[Quota, ...]

    @property
    def short(self) -> tuple[Quota, ...]:
        """Those that do not suffice."""
        return tuple(quota for quota in self.quotas if not quota.enough)

    @property
    def table(self) -> Table:
        return Table(
            head=("quota", "needed", "applied", "in use", "adjustable", "offered", ""),
            rows=[
                (
                    quota.name,
                    str(quota.needed),
                    "-" if quota.applied is None else f"{quota.applied:g}",
                    "?" if quota.in_use is None else str(quota.in_use),
                    "yes" if quota.adjustable else "no",
                    quota.offered,
                    quota.verdict,
                )
                for quota in self.quotas
            ],
            notes=[f"Quotas hold for one account and one region: this is {self.region}."],
        )


class QuotaBook:
    """The account's quotas as Service Quotas lists them when first asked, and what is in use."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._used: dict[str, Counter[str] | None] = {}

    @cached_property
    def listed(self) -> Mapping[str, Mapping[str, Any]]:
        """Every quota of SageMaker here, by name. Raises ``QuotaError``."""
        return list_quotas(self._cloud)

    def quota(self, name: str, needed: int = 1) -> Quota:
        """The quota of that name, whether the region lists it or not."""
        found = self.listed.get(name, {})
        return Quota(
            name=name,
            code=found.get("QuotaCode", ""),
            needed=needed,
            applied=found.get("Value"),
            in_use=self._in_use(name),
            adjustable=found.get("Adjustable", False),
            offered=self._offered(name),
        )

    def _in_use(self, name: str) -> int | None:
        instance_type, use = _parts(name)
        if use not in self._used:
            self._used[use] = instances_in_use(self._cloud, use)
        used = self._used[use]
        if used is None:
            return None
        return used.total() if name == TOTAL_QUOTA else used[instance_type]

    def _offered(self, name: str) -> str:
        """A price is the better sign: a region may list a quota of what it does not sell."""
        if name not in self.listed:
            return "no: no such quota"
        if name == TOTAL_QUOTA:
            return "yes"
        sold = self._cloud.prices.sold(*_parts(name))
        if sold is None:
            return "yes: the quota is listed"
        return "yes: in the price list" if sold else "no: not in the price list"


def quota_report(cloud: Cloud) -> QuotaReport:
    """Every quota the course needs: needed, applied, in use, and whether the region has it.

    Raises ``QuotaError`` when the account does not let us look.
    """
    book = QuotaBook(cloud)
    quotas = [book.quota(name, needed) for name, needed in quotas_needed().items()]
    return QuotaReport(
        region=cloud.region,
        quotas=tuple(
            quota if quota.enough or not quota.code else _with_request(cloud, quota)
            for quota in quotas
        ),
    )


def _with_request(cloud: Cloud, quota: Quota) -> Quota:
    last = latest_request(cloud, quota.code)
    return replace(quota, request=f"{last.value:g}, {last.status}" if last and last.open else "")


def _parts(name: str) -> tuple[str, str]:
    """Instance type and use of a quota by its name; the total is about hosting."""
    instance_type, _, words = name.partition(" for ")
    return instance_type, {words: use for use, words in QUOTA_USES.items()}.get(words, "hosting")
