"""Whom of a cohort an account knows, and the account as each of them sees it.

As in clean-up several ways lead to a learner: tags, names, folders in S3, ledgers on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from botocore.exceptions import ClientError

from helpers.cloud.kinds import is_missing, pages
from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import owners
from helpers.cloud.session import Cloud
from helpers.cohort.seats import MOST, Cohort

GAP = 10
"""After so many seats in a row without a bucket, none is looked for."""
_LISTED = {
    "list_endpoints": ("Endpoints", "EndpointName"),
    "list_training_jobs": ("TrainingJobSummaries", "TrainingJobName"),
    "list_models": ("Models", "ModelName"),
}


def members(cloud: Cloud, cohort: Cohort, *, seats: int = 0) -> list[str]:
    """Every learner of the cohort of whom there is a trace, and those of the first ``seats``.

    Raises ``ClientError`` when the account does not let us look.
    """
    found = {*cohort.learners(seats), *owners(cloud), *_named(cloud, cohort)}
    found |= {*_with_folder(cloud, cohort), *_with_ledger(cloud)}
    if not cloud.local:
        found |= {*_with_bucket(cloud, cohort)}
    return sorted((one for one in found if cohort.holds(one)), key=lambda one: (len(one), one))


def others(cloud: Cloud, cohort: Cohort) -> dict[str, int]:
    """How many resources the account holds of everybody else, by tag."""
    return {
        owner: count
        for owner, count in sorted(owners(cloud).items())
        if owner and not cohort.holds(owner)
    }


def as_learner(cloud: Cloud, learner: str) -> Cloud:
    """The same account in a learner's namespace; in the bucket of the learner's stack, if it has
    one. Clients are shared."""
    seen = replace(cloud, settings=replace(cloud.settings, learner=learner))
    own = stack_bucket(cloud, learner)
    return replace(seen, bucket=own) if not cloud.local and _is_there(seen, own) else seen


def stack_bucket(cloud: Cloud, learner: str) -> str:
    """What infrastructure/avatar-course.yaml calls the bucket of a learner."""
    return f"avatar-{learner}-{cloud.account}-{cloud.region}"


def without_stack(cloud: Cloud, cohort: Cohort, seats: int) -> list[str]:
    """Learners of the first ``seats`` whose stack has made no bucket; nobody needs one here."""
    if cloud.local:
        return []
    return [
        learner
        for learner in cohort.learners(seats)
        if not _is_there(cloud, stack_bucket(cloud, learner))
    ]


def owner_of(name: str) -> str:
    """The learner whose resource bears this name; empty where it is nobody's."""
    found = re.match(r"avatar-([a-z0-9-]*?)--", name.lower())
    return found[1] if found else ""


def _named(cloud: Cloud, cohort: Cohort) -> Iterator[str]:
    for operation, (items, key) in _LISTED.items():
        for item in pages(cloud, "sagemaker", operation, items, NameContains=_begin(cohort)):
            yield owner_of(item[key])


def _begin(cohort: Cohort) -> str:
    return f"avatar-{cohort.name}-"


def _with_folder(cloud: Cloud, cohort: Cohort) -> Iterator[str]:
    """Also where only old versions are left."""
    asked = {"Bucket": cloud.bucket, "Prefix": f"avatar-course/{cohort.name}-", "Delimiter": "/"}
    try:
        for item in pages(cloud, "s3", "list_object_versions", "CommonPrefixes", **asked):
            yield item["Prefix"].split("/")[1]
    except ClientError as trouble:
        if not is_missing(trouble):
            raise


def _with_ledger(cloud: Cloud) -> Iterator[str]:
    begin = f"ledger-{cloud.settings.backend}-"
    for path in cloud.settings.state.glob(f"{begin}*.jsonl"):
        if Ledger(path).open():
            yield path.stem.removeprefix(begin)


def _with_bucket(cloud: Cloud, cohort: Cohort) -> Iterator[str]:
    missed = 0
    for seat in range(1, MOST + 1):
        learner = cohort.learner(seat)
        missed = 0 if _is_there(cloud, stack_bucket(cloud, learner)) else missed + 1
        if not missed:
            yield learner
        if missed == GAP:
            return


def _is_there(cloud: Cloud, bucket: str) -> bool:
    try:
        cloud.client("s3").list_objects_v2(
            Bucket=bucket, MaxKeys=1, ExpectedBucketOwner=cloud.account
        )
        return True
    except ClientError as trouble:
        if is_missing(trouble) or trouble.response["Error"]["Code"] in ("AccessDenied", "403"):
            return False
        raise
