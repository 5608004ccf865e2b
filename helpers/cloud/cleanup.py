"""Remove everything that the course made, then prove that nothing is left."""

from __future__ import annotations

import time
from dataclasses import dataclass

from botocore.exceptions import ClientError

from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import KINDS, Resource, exists, remove, tagged
from helpers.cloud.session import Cloud
from helpers.errors import CleanUpError


@dataclass(frozen=True, kw_only=True)
class CleanUpReport:
    """What was removed (or would be, in a dry run), what could not be, and what is still there.

    ``price_per_hour``: dollars an hour that this ends.
    """

    removed: list[Resource]
    failed: list[tuple[Resource, str]]
    left: list[Resource]
    price_per_hour: float
    dry_run: bool = False

    @property
    def empty(self) -> bool:
        """Whether the account holds nothing of the course any more."""
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
        lines += [f"FAILED {item.kind} {item.name}: {why}" for item, why in self.failed]
        lines += [f"STILL THERE {item.kind} {item.name}" for item in self.left]
        return "\n".join(lines) or "there was nothing to remove"


def clean_up(cloud: Cloud, ledger: Ledger, *, dry_run: bool = False) -> CleanUpReport:
    """Remove what the ledger and the tags name, dearest first, and look whether it is gone.

    One resource that cannot be removed does not keep the others. Raises nothing: the report says.
    """
    price = ledger.price_per_hour()
    entries = [Resource(kind=entry.kind, name=entry.name) for entry in ledger.open()]
    # The prefix goes also when no ledger names it: it is where the photos are.
    wanted = {*entries, *tagged(cloud), Resource(kind="s3-prefix", name=cloud.uri(""))}
    found, failed = _look(cloud, wanted)
    if dry_run:
        return CleanUpReport(
            removed=found, failed=failed, left=[], price_per_hour=price, dry_run=True
        )
    removed: list[Resource] = []
    for resource in found:
        try:
            remove(cloud, resource)
            removed.append(resource)
        except ClientError as trouble:
            failed.append((resource, str(trouble)))
    left = _still_there(cloud, removed)
    gone = set(wanted) - set(left) - {resource for resource, _ in failed}
    for resource in entries:
        if resource in gone:
            ledger.removed(resource.kind, resource.name)
    return CleanUpReport(
        removed=[resource for resource in removed if resource not in left],
        failed=failed,
        left=left,
        price_per_hour=price,
    )


def _look(cloud: Cloud, wanted: set[Resource]) -> tuple[list[Resource], list[tuple[Resource, str]]]:
    found: list[Resource] = []
    failed: list[tuple[Resource, str]] = []
    for resource in sorted(wanted, key=lambda item: (KINDS.index(item.kind), item.name)):
        try:
            if exists(cloud, resource):
                found.append(resource)
        except ClientError as trouble:
            failed.append((resource, str(trouble)))
    return found, failed


def _still_there(cloud: Cloud, removed: list[Resource]) -> list[Resource]:
    """What exists after all: looked up one by one, then by tag, as the tag index lags behind."""
    deadline = time.monotonic() + (1 if cloud.local else 120)
    suspects = list({*removed, *tagged(cloud)})
    while True:
        suspects = [resource for resource in suspects if exists(cloud, resource)]
        if not suspects or time.monotonic() > deadline:
            return suspects
        time.sleep(0.1 if cloud.local else 5)
