"""Forget one avatar: its photos, adapters, pictures and caches, everywhere, and nobody else's.

Which files belong together is read from the files themselves (``helpers.cloud.traces``), so it
also works on another machine and without any notes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.kinds import patiently
from helpers.cloud.kinds_storage import delete_versions, uploads, versions
from helpers.cloud.ledger import Ledger
from helpers.cloud.records import FOLDER as RECORDS
from helpers.cloud.renew import multi_model_endpoints, renew_instances
from helpers.cloud.session import Cloud
from helpers.cloud.survey import Found, in_s3, on_disk, own_folders
from helpers.cloud.traces import traces_in_text, traces_of_key
from helpers.errors import CleanUpError, CourseError
from helpers.s3 import split_uri
from helpers.settings import ROOT
from helpers.tuning.progress import job_name


@dataclass(frozen=True, kw_only=True)
class Avatar:
    """One subject as the account knows it: everything that photos and adapters tie together.

    Two requests that share a photo are of one subject.
    """

    traces: frozenset[str]
    objects: tuple[str, ...]
    places: frozenset[str] = frozenset()

    def of(self, kind: str) -> list[str]:
        """Its jobs, photos, adapters or avatars, by the name that a trace has for them."""
        return sorted(
            trace.partition(":")[2] for trace in self.traces if trace.startswith(f"{kind}:")
        )

    def knows(self, text: str) -> bool:
        """Whether a TargetModel, an adapter's address, an inference id or a saved job is its."""
        return bool((traces_in_text(text) | {f"job:{job_name(text)}"}) & self.traces)

    def owns(self, found: Found) -> bool:
        return bool(found.traces & self.traces) or found.where in self.places

    def __str__(self) -> str:
        targets = [uri.rpartition("/")[2] for uri in self.objects if "/avatars/" in uri]
        named = ", ".join(targets) or "not published"
        counts = ", ".join(f"{kind}s: {len(self.of(kind))}" for kind in ("job", "photo", "avatar"))
        return f"{counts} ({named})"


@dataclass(kw_only=True)
class ForgetReport:
    """What was removed (or would be, in a dry run) and what was not.

    ``left``: what is still found when everything is looked at again. ``remains``: what no call can
    remove now, in words.
    """

    dry_run: bool
    removed: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not self.failed and not self.left

    def require_empty(self) -> ForgetReport:
        """Raise ``CleanUpError`` naming what is left; else return the report."""
        if self.empty:
            return self
        names = [f"{where}: {why}" for where, why in self.failed] + self.left
        raise CleanUpError("not everything was forgotten", "; ".join(names), "forget it once more")

    def __str__(self) -> str:
        verb = "would remove" if self.dry_run else "removed"
        lines = [f"{verb} {where}" for where in self.removed]
        renewed = "would renew" if self.dry_run else "renewed"
        lines += [f"{renewed} the instances of {name}" for name in self.renewed]
        lines += [f"FAILED {where}: {why}" for where, why in self.failed]
        lines += [f"STILL THERE {where}" for where in self.left]
        if self.empty and not self.dry_run:
            lines.append("looked at every file again: nothing of it is left")
        return "\n".join([*lines, *(f"remains: {text}" for text in self.remains)])


def find_avatars(cloud: Cloud) -> list[Avatar]:
    """Every subject of this learner, from what lies in S3. Raises ``ClientError``."""
    groups: list[Avatar] = []
    for found in in_s3(cloud):
        if not found.links or not found.traces:
            continue
        same = [group for group in groups if group.traces & found.traces]
        groups = [group for group in groups if group not in same]
        groups.append(
            Avatar(
                traces=found.traces.union(*(group.traces for group in same)),
                objects=tuple(sorted({found.where, *(o for group in same for o in group.objects)})),
                places=found.places.union(*(group.places for group in same)),
            )
        )
    return sorted(groups, key=lambda avatar: avatar.objects)


def forget_avatar(
    cloud: Cloud,
    ledger: Ledger,
    avatar: Avatar,
    *,
    folders: Iterable[Path] | None = None,
    renew: bool = True,
    dry_run: bool = False,
) -> ForgetReport:
    """Remove what belongs to ``avatar`` in S3 and below ``folders``, and look whether it is gone.

    ``folders``: those that the course writes to, if not given; add your own to have photos and
    pictures in them removed too. ``renew``: give multi-model endpoints that serve it new
    instances (``helpers.cloud.renew``); without that they may paint it until they end.

    What cannot be removed is in the report. Raises ``ClientError`` when S3 cannot be read.
    """
    places = tuple(own_folders(cloud.settings) if folders is None else folders)
    report = ForgetReport(dry_run=dry_run)
    mine = _owned(cloud, avatar, places)
    endpoints = _serving(cloud, avatar)
    report.remains += _unended(cloud, avatar) + _remains(cloud, places, [] if renew else endpoints)
    if dry_run:
        report.removed += mine
        report.renewed += endpoints if renew else []
        return report
    for where in mine:
        try:
            _remove(cloud, where)
            report.removed.append(where)
        except (ClientError, BotoCoreError, OSError) as trouble:
            report.failed.append((where, str(trouble)))
    for endpoint in endpoints if renew else ():
        try:
            renew_instances(cloud, ledger, endpoint)
            report.renewed.append(endpoint)
        except CourseError as trouble:
            report.failed.append((endpoint, str(trouble)))
    failed = dict(report.failed)
    report.left += [where for where in _owned(cloud, avatar, places) if where not in failed]
    return report


def _owned(cloud: Cloud, avatar: Avatar, folders: Sequence[Path]) -> list[str]:
    """In the order of removal: last what ties the rest together, so that a forgetting that is
    killed half-way can be taken up again."""
    files = [*on_disk(folders, cloud.settings), *in_s3(cloud)]
    mine = sorted((found for found in files if avatar.owns(found)), key=_ties)
    return _begun(cloud, avatar) + [found.where for found in mine]


def _ties(found: Found) -> int:
    return 2 if f"/{RECORDS}/" in found.where else int(found.links)


def _begun(cloud: Cloud, avatar: Avatar) -> list[str]:
    """Unfinished uploads, which hold photos that no listing shows, as ``uri#upload-id``."""
    bucket, prefix = split_uri(cloud.uri(""))
    return [
        f"s3://{bucket}/{item['Key']}#{item['UploadId']}"
        for item in uploads(cloud, cloud.uri(""))
        if traces_of_key(item["Key"].removeprefix(prefix)) & avatar.traces
    ]


def _unended(cloud: Cloud, avatar: Avatar) -> list[str]:
    """Jobs that may still bring an adapter."""
    files = list(in_s3(cloud))
    there = {found.where for found in files}
    return [
        f"the job of {found.where} has not ended: forget the avatar again when it has"
        for found in files
        if found.places and avatar.owns(found) and not found.places & there
    ]


def _serving(cloud: Cloud, avatar: Avatar) -> list[str]:
    """Endpoints that may have it in memory or on their disks."""
    return sorted(
        {
            name
            for name, prefix in multi_model_endpoints(cloud)
            if any(uri.startswith(prefix) for uri in avatar.objects)
        }
    )


def _remove(cloud: Cloud, where: str) -> None:
    place, _, part = where.partition("#")
    if not place.startswith("s3://"):
        _remove_file(Path(place), part)
        return
    bucket, key = split_uri(place)
    if part:
        cloud.client("s3").abort_multipart_upload(Bucket=bucket, Key=key, UploadId=part)
        return

    def delete() -> None:
        same = (item for item in versions(cloud, place) if item["Key"] == key)
        delete_versions(cloud, bucket, same)

    patiently(cloud, delete)


def _remove_file(path: Path, note: str) -> None:
    if note:
        notes = json.loads(path.read_text())
        notes.pop(note, None)
        path.write_text(json.dumps(notes, indent=1))
        return
    path.unlink()


def _remains(cloud: Cloud, folders: Sequence[Path], endpoints: Sequence[str]) -> list[str]:
    lines = [
        f"{name} may paint it from memory until it ends, is renewed or needs the room"
        for name in endpoints
    ]
    lines.append(
        "log lines and queued messages that name its jobs by number, without pictures or names; "
        "they go with the clean-up, messages after four days at the latest"
    )
    shown = [path for path in sorted(ROOT.glob("notebooks/*.ipynb")) if _shows_pictures(path)]
    if shown:
        names = ", ".join(path.name for path in shown)
        lines.append(f"pictures in the saved outputs of {names}: clear the outputs and save")
    if (cloud.settings.state / "consents.jsonl").exists():
        lines.append("the consent that notebook 00 wrote down, as proof that there was one")
    lines.append(
        f"your own copies outside {' and '.join(map(str, folders))}, and backups of others"
    )
    return lines


def _shows_pictures(notebook: Path) -> bool:
    return '"image/png"' in notebook.read_text(encoding="utf-8", errors="replace")
