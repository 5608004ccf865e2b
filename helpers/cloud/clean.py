"""``python -m helpers.cloud.clean``: what ``course.py clean`` runs, here and on AWS.

It needs boto3 and an account, and neither a ledger nor anything else on this machine. Exit code 0:
nothing is left; 4: nothing but photos and adapters, which were to be kept; 1: something is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.cleanup import Stock, clean_up, take_stock
from helpers.cloud.kinds_storage import is_personal, versions
from helpers.cloud.meter import bill
from helpers.cloud.resources import owners
from helpers.cloud.session import Cloud, find_cloud
from helpers.errors import CourseError
from helpers.launcher.cleaning import PHOTOS_KEPT
from helpers.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="helpers.cloud.clean", allow_abbrev=False)
    parser.add_argument("--photos", choices=("ask", "keep", "delete"), default="ask")
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args(arguments)
    try:
        return _clean(find_cloud(Settings.from_environment()), given.photos, given.dry_run)
    except (CourseError, ClientError, BotoCoreError) as trouble:
        print(trouble, file=sys.stderr)
        return 1


def _clean(cloud: Cloud, photos: str, dry_run: bool) -> int:
    ledger = cloud.ledger()
    where = "the local SageMaker" if cloud.local else f"AWS account {cloud.account}"
    print(f"learner {cloud.settings.learner}, {where}, {cloud.region}:")
    charges = bill(cloud, ledger)
    if charges.charges:
        print(charges)
    stock = take_stock(cloud, ledger)
    personal = _describe(cloud, stock)
    if dry_run:
        print(clean_up(cloud, ledger, personal_data=photos != "keep", dry_run=True))
        for line in personal:
            print(f"  {line}")
        return 1 if stock.unseen else 0
    delete = photos == "delete" or not personal or (photos == "ask" and _wanted(cloud, personal))
    report = clean_up(cloud, ledger, personal_data=delete, tell=partial(print, flush=True))
    print(report)
    _name_others(cloud)
    if not report.empty:
        return 1
    return 0 if delete else PHOTOS_KEPT


def _describe(cloud: Cloud, stock: Stock) -> list[str]:
    """The folders with somebody's likeness in them, in words."""
    folders = [item.name for item in stock.found if item.kind == "s3-prefix"]
    lines = []
    for folder in (name for name in folders if is_personal(cloud, name)):
        sizes = [item.get("Size", 0) for item in versions(cloud, folder)]
        lines.append(f"{folder}: {len(sizes)} objects, {sum(sizes) / 1e6:.1f} MB")
    return lines


def _wanted(cloud: Cloud, personal: Sequence[str]) -> bool:
    print("photos, adapters and what was made of them:", *personal, sep="\n  ")
    if not sys.stdin.isatty():
        if cloud.local:
            print("they are in the memory of the local SageMaker and go with it")
            return True
        print("nobody can be asked, so they stay; --delete-photos deletes them too")
        return False
    answer = input("Delete these as well? They cannot be brought back. [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _name_others(cloud: Cloud) -> None:
    """A learner who forgot the name that the work was done under finds it here."""
    for owner, count in sorted(owners(cloud).items()):
        if owner and owner != cloud.settings.learner:
            print(f"not touched: {count} resources of {owner} (AVATAR_LEARNER={owner})")


if __name__ == "__main__":
    sys.exit(main())
