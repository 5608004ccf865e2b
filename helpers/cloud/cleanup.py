"""Remove everything that the course made, then prove that nothing is left.

Three ways lead to a resource: the ledger, its tags, and its name. Any one is enough, so neither a
lost ledger nor a tag index that lags behind hides anything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.kinds import Busy, NotOurs
from helpers.cloud.kinds_storage import is_personal
from helpers.cloud.ledger import Ledger
from helpers.cloud.meter import running
from helpers.cloud.resources import KINDS, UNKNOWN, Resource, exists, named, remove, tagged
from helpers.cloud.session import Cloud
from helpers.errors import CleanUpError

TRIES = 3
"""How often a removal that AWS refuses is asked for."""
LIMIT_S, REHEARSAL_S = 3600.0, 120.0
"""For how long what is busy is asked again: an endpoint may be created for half an hour."""
Why = tuple[Resource, str]


@dataclass(frozen=True, kw_only=True)
class CleanUpReport:
    """What was removed (or would be, in a dry run), what could not be, and what is still there.

    ``kept``: what stays on purpose, and why. ``price_per_hour``: dollars an hour that this ends,
    as far as prices are known.
    """

    removed: list[Resource]
    failed: list[Why]
    left: list[Resource]
    kept: list[Why]
    price_per_hour: float
    dry_run: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing of the course is there any more but what is kept on purpose."""
        return not self.failed and not self.left

    def require_empty(self) -> CleanUpReport:
        """Raise ``CleanUpError`` naming what is left; else return the report."""
        if self.empty:
            return self
        names = [f"{resource.kind} {resource.name}: {why}" for resource, why in self.failed]
        names += [f"{resource.kind} {resource.name}" for resource in self.left]
        raise CleanUpError(
            "not everything could be removed", "; ".join(names), "run the clean-up once more"
        )

    def __str__(self) -> str:
        verb = "would remove" if self.dry_run else "removed"
        lines = [f"{verb} {item.kind} {item.name}" for item in self.removed]
        if not lines:
            lines = ["there was nothing to remove"]
        lines += [f"kept {item.kind} {item.name}: {why}" for item, why in self.kept]
        lines += [f"FAILED {item.kind} {item.name}: {why}" for item, why in self.failed]
        lines += [f"STILL THERE {item.kind} {item.name}" for item in self.left]
        if self.empty and not self.dry_run:
            lines.append(
                f"looked again, by name in {len(KINDS)} kinds of resources and by tag in all: "
                f"nothing is left{' but what is kept' if self.kept else ''}"
            )
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Stock:
    """What is there, in the order of removal, and what could not be looked at."""

    found: list[Resource]
    unseen: list[Why]

    def counts(self) -> dict[str, int]:
        """How many of each kind, the kinds without any included."""
        return {**dict.fromkeys(KINDS, 0), **Counter(item.kind for item in self.found)}


def take_stock(cloud: Cloud, ledger: Ledger | None = None) -> Stock:
    """Everything of this learner, by name, by tag and, if one is given, by ledger."""
    found: dict[Resource, None] = {}
    unseen: list[Why] = []
    suspects: list[Resource] = []
    for kind in KINDS:
        try:
            found.update(dict.fromkeys(named(cloud, kind)))
        except (ClientError, BotoCoreError) as trouble:
            unseen.append((Resource(kind=kind, name="*"), f"cannot be listed: {_said(trouble)}"))
    try:
        suspects += tagged(cloud)
    except (ClientError, BotoCoreError) as trouble:
        unseen.append((Resource(kind="tags", name="*"), f"cannot be searched: {_said(trouble)}"))
    if ledger:
        suspects += [Resource(kind=entry.kind, name=entry.name) for entry in ledger.open()]
    for item in dict.fromkeys(suspects):
        # What lies below the prefix was found folder by folder.
        if item in found or item.name.startswith(cloud.uri("")):
            continue
        try:
            if item.kind not in (*KINDS, UNKNOWN) or exists(cloud, item):
                found[item] = None
        except (ClientError, BotoCoreError) as trouble:
            unseen.append((item, f"cannot be looked at: {_said(trouble)}"))
    return Stock(found=sorted(found, key=_order), unseen=unseen)


def clean_up(
    cloud: Cloud,
    ledger: Ledger,
    *,
    personal_data: bool,
    dry_run: bool = False,
    tell: Callable[[str], None] | None = None,
) -> CleanUpReport:
    """Remove what ledger, tags and names lead to, dearest first, and look whether it is gone.

    ``personal_data``: photos, adapters and what was made of them too? Without them only what
    bills or would be in the way goes. ``tell`` hears what is being waited for, when it changes.

    One resource that cannot be removed does not keep the others; what is busy is asked again, and
    throttled calls are repeated. Raises nothing: the report says.
    """
    price = running(cloud, ledger).per_hour
    stock = take_stock(cloud, ledger)
    kept = _personal(cloud, stock.found) if not personal_data else []
    wanted = [item for item in stock.found if item not in dict(kept)]
    if dry_run:
        return CleanUpReport(
            removed=wanted, failed=stock.unseen, left=[], kept=kept, price_per_hour=price,
            dry_run=True,
        )  # fmt: skip
    failed, shared = _remove_all(cloud, wanted, tell or (lambda _: None))
    after = take_stock(cloud, ledger)
    kept += shared.items()
    _settle(ledger, after, gone=set(shared))
    return CleanUpReport(
        removed=[item for item in wanted if item not in {*after.found, *failed}],
        failed=[*failed.items(), *after.unseen],
        left=[item for item in after.found if item not in {*dict(kept), *failed}],
        kept=kept,
        price_per_hour=price,
    )


def _remove_all(
    cloud: Cloud, wanted: Iterable[Resource], tell: Callable[[str], None]
) -> tuple[dict[Resource, str], dict[Resource, str]]:
    """Go round until everything is gone; returns what failed and what is not ours, and why."""
    ends = time.monotonic() + cloud.pause(LIMIT_S, brisk=REHEARSAL_S)
    unknown = "the course does not know how to remove it"
    failed = {item: unknown for item in wanted if item.kind not in KINDS}
    waiting = {item: "" for item in wanted if item.kind in KINDS}
    shared: dict[Resource, str] = {}
    tries: Counter[Resource] = Counter()
    said = ""
    while waiting:
        for item in list(waiting):
            if held := [other for other in failed if other.kind in KINDS[item.kind].held_by]:
                del waiting[item]
                failed[item] = f"{held[0].kind} {held[0].name} still needs it"
                continue
            if any(other.kind in KINDS[item.kind].after for other in waiting):
                waiting[item] = f"waits for {' and '.join(KINDS[item.kind].after)}"
                continue
            try:
                remove(cloud, item)
                if exists(cloud, item):
                    waiting[item] = "it is being removed"
                else:
                    del waiting[item]
            except NotOurs as why:
                del waiting[item]
                shared[item] = str(why)
            except Busy as why:
                waiting[item] = str(why)
            except (ClientError, BotoCoreError) as trouble:
                waiting[item] = _said(trouble)
                tries[item] += 1
            if tries[item] == TRIES:
                failed[item] = waiting.pop(item)
        if waiting and time.monotonic() > ends:
            return {**failed, **waiting}, shared
        if waiting:
            item, why = next(iter(waiting.items()))
            said = _tell_once(tell, f"{len(waiting)} to go; {item.kind} {item.name}: {why}", said)
            time.sleep(cloud.pause(5, brisk=0.05))
    return failed, shared


def _tell_once(tell: Callable[[str], None], text: str, said: str) -> str:
    if text != said:
        tell(text)
    return text


def _personal(cloud: Cloud, found: list[Resource]) -> list[Why]:
    """What may hold somebody's likeness, and the bucket that it lies in."""
    why = "photos and adapters have a question of their own"
    kept = [
        (item, why) for item in found if item.kind == "s3-prefix" and is_personal(cloud, item.name)
    ]
    if kept:
        kept += [(item, "it holds what is kept") for item in found if item.kind == "bucket"]
    return kept


def _settle(ledger: Ledger, stock: Stock, *, gone: set[Resource]) -> None:
    """Strike out of the ledger what was looked for and is not there, and what turned out to be
    others'."""
    unseen = {item.kind for item, _ in stock.unseen}
    there = set(stock.found) - gone
    folders = [item.name for item in there if item.kind == "s3-prefix"]
    for entry in ledger.open():
        if entry.kind == "s3-prefix":  # one line for all the folders below it
            still = any(folder.startswith(entry.name) for folder in folders)
        else:
            still = Resource(kind=entry.kind, name=entry.name) in there
        if not still and entry.kind not in unseen:
            ledger.removed(entry.kind, entry.name)


def _order(item: Resource) -> tuple[int, str]:
    kinds = list(KINDS)
    return kinds.index(item.kind) if item.kind in KINDS else len(kinds), item.name


def _said(trouble: Exception) -> str:
    if isinstance(trouble, ClientError):
        error = trouble.response["Error"]
        return f"{error.get('Code', '')}: {error.get('Message', '')}"
    return str(trouble)
