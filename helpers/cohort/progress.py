"""Signs of who is where: empty objects that learners with a seat leave below their own prefix.

A learner on their own leaves none. A sign is a notebook's name and the time at which S3 got it:
nothing of what was done, and it goes with everything else that clean-up removes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.kinds import is_missing, pages
from helpers.cloud.session import Cloud
from helpers.cohort.seats import cohort_of

FOLDER = "progress"
BEGUN, DONE = "begun", "done"
_SHOWS = {"requests": "03_fine_tune_async", "avatars": "08_host_and_generate"}
"""Folders that only one notebook writes: what shows how far someone is who left no sign."""


def leave_sign(cloud: Cloud, notebook: str, event: str) -> None:
    """Note that a notebook was begun or reached its end. Without a seat it does nothing; a sign
    that cannot be left is no reason to disturb the learner."""
    if not cohort_of(cloud.settings.learner):
        return
    try:
        cloud.client("s3").put_object(
            Bucket=cloud.bucket, Key=f"{cloud.prefix}/{FOLDER}/{notebook}/{event}", Body=b""
        )
    except (ClientError, BotoCoreError):
        return


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a learner is. ``at``: the notebook of the last sign, empty if there is none;
    ``seen``: when anything of the learner was last written."""

    at: str = ""
    finished: bool = False
    done: tuple[str, ...] = ()
    seen: datetime | None = None


def progress(cloud: Cloud) -> Progress:
    """How far the learner of this ``cloud`` is, from S3 alone. Raises ``ClientError``."""
    asked = {"Bucket": cloud.bucket, "Prefix": f"{cloud.prefix}/"}
    try:
        return _read(cloud, list(pages(cloud, "s3", "list_objects_v2", "Contents", **asked)))
    except ClientError as trouble:
        if is_missing(trouble):
            return Progress()
        raise


def _read(cloud: Cloud, objects: Iterable[dict[str, Any]]) -> Progress:
    signs: dict[tuple[str, str], datetime] = {}
    shown: list[tuple[datetime, str]] = []
    times: list[datetime] = []
    for item in objects:
        folder, _, rest = item["Key"].removeprefix(f"{cloud.prefix}/").partition("/")
        times.append(item["LastModified"])
        if folder == FOLDER:
            notebook, _, event = rest.partition("/")
            signs[notebook, event] = item["LastModified"]
        elif folder in _SHOWS:
            shown.append((item["LastModified"], _SHOWS[folder]))
    done = sorted(notebook for notebook, event in signs if event == DONE)
    seen = max(times, default=None)
    if not signs:
        return Progress(at=max(shown)[1] if shown else "", seen=seen)
    # The last cell's sign may come in the same second as the first's: then the end counts.
    at, event = max(signs, key=lambda sign: (signs[sign], sign[1] == DONE))
    return Progress(at=at, finished=event == DONE, done=tuple(done), seen=seen)
