"""CodeBuild on this machine: builds of images that only lay files over a parent.

There is no Docker here. A build does what the Dockerfile's ``COPY`` lines say, into a folder that
stands for the image, and puts an entry into ECR; its ``RUN`` lines are told, not done, because the
course's own environments stand for the packages inside. Whatever a build needs and does not find
fails it, as on AWS.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from helpers.local import images
from helpers.local.container_log import ContainerLog
from helpers.local.context import Context, split_s3
from helpers.local.store import Tags, now
from helpers.local.wire import Call, Refusal, perform

Members = dict[str, Any]
_MEDIA = "application/vnd.docker.distribution.manifest.v2+json"


class _Failed(Exception):
    """Why a build ended without an image."""


@dataclass(kw_only=True)
class _Build:
    """One build and what it was told."""

    id: str
    project: str
    source: str
    told: list[Members]
    log_group: str
    started: Any = field(default_factory=now)
    ended: Any = None
    phase: str = "SUBMITTED"
    status: str = "IN_PROGRESS"
    reason: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def plain(self) -> Members:
        """For the journal: a build that has not ended when the service does has failed."""
        failed = "" if self.ended else "The service ended while the build ran. Start it again."
        return {
            "id": self.id, "project": self.project, "source": self.source, "told": self.told,
            "log_group": self.log_group, "started": self.started.isoformat(),
            "ended": (self.ended or self.started).isoformat(), "phase": self.phase,
            "status": self.status if self.ended else "FAILED", "reason": failed or self.reason,
        }  # fmt: skip

    @classmethod
    def of_plain(cls, data: Members) -> _Build:
        moments = {name: datetime.fromisoformat(data[name]) for name in ("started", "ended")}
        made = cls(**{**data, **moments})
        made.over.set()
        return made

    def describe(self) -> Members:
        phase: Members = {"phaseType": self.phase, "startTime": self.started.timestamp()}
        if self.reason:
            context = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": self.reason}
            phase |= {"phaseStatus": "FAILED", "contexts": [context]}
        ended = {"endTime": self.ended.timestamp()} if self.ended else {}
        return {
            "id": self.id,
            "projectName": self.project,
            "buildStatus": self.status,
            "currentPhase": self.phase,
            "buildComplete": self.status != "IN_PROGRESS",
            "startTime": self.started.timestamp(),
            "phases": [phase],
            "source": {"type": "S3", "location": self.source},
            "environment": {"environmentVariables": self.told},
            "logs": {"groupName": self.log_group, "streamName": self.id.partition(":")[2]},
            **ended,
        }


class Builds:
    """The projects and builds of one account, and the operations on them."""

    def __init__(self, context: Context, tags: Tags) -> None:
        self._context, self._tags = context, tags
        self._journal = context.journal
        self._projects: dict[str, Members] = self._journal.all("build project")
        self._builds = {
            name: _Build.of_plain(kept) for name, kept in self._journal.all("build").items()
        }
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Members:
        """Do what a call asks. Raises ``Refusal``."""
        return perform(self, call)

    def repository_tags(self) -> dict[str, list[dict[str, str]]]:
        """Tags of ECR's repositories by ARN, which moto's own listing of tags leaves out."""
        ecr = self._context.client("ecr")
        arns = [one["repositoryArn"] for one in ecr.describe_repositories()["repositories"]]
        return {arn: ecr.list_tags_for_resource(resourceArn=arn)["tags"] for arn in arns}

    def _create_project(self, asked: Members) -> Members:
        name = asked["name"]
        arn = self._arn(name)
        if not asked["environment"].get("privilegedMode"):
            raise Refusal("InvalidInputException", "docker build needs privilegedMode.")
        with self._lock:
            if name in self._projects:
                raise Refusal("ResourceAlreadyExistsException", f"Project already exists: {arn}")
            made = {**asked, "arn": arn, "created": now().timestamp()}
            self._journal.save("build project", name, made)
            self._projects[name] = made
        self._tags.add(
            arn, [{"Key": tag["key"], "Value": tag["value"]} for tag in asked.get("tags", [])]
        )
        return {"project": self._projects[name]}

    def _batch_get_projects(self, asked: Members) -> Members:
        known = [name for name in asked["names"] if name in self._projects]
        return {
            "projects": [self._projects[name] for name in known],
            "projectsNotFound": [name for name in asked["names"] if name not in known],
        }

    def _list_projects(self, asked: Members) -> Members:
        return {"projects": sorted(self._projects)}

    def _delete_project(self, asked: Members) -> Members:
        with self._lock:
            if self._projects.pop(asked["name"], None):
                self._journal.drop("build project", asked["name"])
                self._tags.drop(self._arn(asked["name"]))
        return {}

    def _start_build(self, asked: Members) -> Members:
        project = self._project(asked["projectName"])
        token = asked.get("idempotencyToken", "")
        with self._lock:
            if token in self._tokens:
                return {"build": self._builds[self._tokens[token]].describe()}
            number = str(uuid.uuid4())
            build = _Build(
                id=f"{project['name']}:{number}",
                project=project["name"],
                source=asked.get("sourceLocationOverride") or project["source"]["location"],
                told=asked.get("environmentVariablesOverride", []),
                log_group=f"/aws/codebuild/{project['name']}",
            )
            self._journal.save("build", build.id, build.plain())
            self._builds[build.id] = build
            if token:
                self._tokens[token] = build.id
        threading.Thread(target=self._run, args=(build,), name=build.id, daemon=True).start()
        return {"build": build.describe()}

    def _batch_get_builds(self, asked: Members) -> Members:
        return {
            "builds": [self._builds[one].describe() for one in asked["ids"] if one in self._builds],
            "buildsNotFound": [one for one in asked["ids"] if one not in self._builds],
        }

    def _stop_build(self, asked: Members) -> Members:
        build = self._builds.get(asked["id"])
        if build is None:
            raise Refusal("ResourceNotFoundException", f"Build {asked['id']} does not exist")
        build.stopped.set()
        build.over.wait(10)
        return {"build": build.describe()}

    def _list_builds_for_project(self, asked: Members) -> Members:
        name = self._project(asked["projectName"])["name"]
        ids = [build.id for build in self._builds.values() if build.project == name]
        return {"ids": ids if asked.get("sortOrder") == "ASCENDING" else ids[::-1]}

    def _project(self, name: str) -> Members:
        if name not in self._projects:
            raise Refusal(
                "ResourceNotFoundException", f"Project cannot be found: {self._arn(name)}"
            )
        return self._projects[name]

    def _arn(self, name: str) -> str:
        return f"arn:aws:codebuild:{self._context.region}:{self._context.account}:project/{name}"

    def _run(self, build: _Build) -> None:
        stream = build.id.partition(":")[2]
        log = ContainerLog(
            path=self._context.logs / "builds" / f"{stream}.log",
            group=build.log_group,
            stream=stream,
            logs_client=self._context.client("logs"),
        )
        build.stopped.wait(self._context.settle)
        try:
            self._make(build, log)
        except _Failed as trouble:
            build.reason = str(trouble)
        except Exception as trouble:
            build.reason = f"{type(trouble).__name__}: {trouble}"
        if build.reason:
            log.write(f"[build] {build.phase} failed: {build.reason}")
        log.close()  # its last line is in CloudWatch before anybody hears that the build ended
        build.ended = now()
        if not build.reason:
            build.phase, build.status = "COMPLETED", "SUCCEEDED"
        else:
            build.status = "STOPPED" if build.stopped.is_set() else "FAILED"
        self._journal.save("build", build.id, build.plain())
        build.over.set()

    def _make(self, build: _Build, log: ContainerLog) -> None:
        told = {one["name"]: one["value"] for one in build.told}
        if missing := {"PARENT", "IMAGE"} - told.keys():
            raise _Failed(f"the build is not told {', '.join(sorted(missing))}")
        build.phase = "DOWNLOAD_SOURCE"
        work = self._context.work / f"build-{uuid.uuid4()}"
        try:
            self._fetch(build.source, work)
            log.write(f"[build] source s3://{build.source} unpacked")
            build.phase = "BUILD"
            fresh = work / "layers"
            for line in _instructions(work):
                log.write(f"[build] {line}")
                if build.stopped.is_set():
                    raise _Failed("the build was stopped")
                if line.startswith("COPY "):
                    _copy(work, fresh, line)
                elif line.startswith("RUN "):
                    log.write("[build]   not done here: the course's own environment stands for it")
            build.phase = "POST_BUILD"
            content = hashlib.sha256(f"{told['PARENT']} {_content(fresh)}".encode()).hexdigest()
            name = self._push(told["IMAGE"], content)
            layers = self._context.state / "images" / f"built-{content[:16]}"
            if not layers.exists():
                layers.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(fresh, layers)
            images.add(self._context.state, name, layers)
            log.write(f"[build] pushed {name}")
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _fetch(self, source: str, into: Path) -> None:
        into.mkdir(parents=True)
        bucket, key = split_s3(source)
        archive = into.with_suffix(".zip")
        s3 = self._context.client("s3")
        try:
            s3.download_file(bucket, key, str(archive))
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(into)  # zipfile keeps every member inside
        except (s3.exceptions.ClientError, zipfile.BadZipFile) as trouble:
            raise _Failed(f"the source {source} cannot be read: {trouble}") from trouble
        finally:
            archive.unlink(missing_ok=True)

    def _push(self, image: str, content: str) -> str:
        """An entry in ECR for the image; returns ``repository@digest``."""
        ecr = self._context.client("ecr")
        repository, _, tag = image.rpartition("/")[2].partition(":")
        config = {"mediaType": _MEDIA, "size": 0, "digest": f"sha256:{content}"}
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": _MEDIA, "config": config, "layers": []}
        )
        digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
        with suppress(ecr.exceptions.ImageAlreadyExistsException):
            ecr.put_image(
                repositoryName=repository,
                imageManifest=manifest,
                imageTag=tag,
                imageDigest=digest,
            )
        return f"{repository}@{digest}"


def _instructions(folder: Path) -> Iterator[str]:
    file = folder / "Dockerfile"
    if not file.is_file():
        raise _Failed("failed to read dockerfile: open Dockerfile: no such file or directory")
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def _copy(work: Path, layers: Path, line: str) -> None:
    source, target = line.split()[1:3]
    origin = work / source
    if not origin.exists():
        raise _Failed(f'failed to compute cache key: "/{source}": not found')
    place = layers / target.lstrip("/")
    if origin.is_dir():
        shutil.copytree(origin, place)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, place)


def _content(folder: Path) -> str:
    whole = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"\0{file.relative_to(folder).as_posix()}\0".encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()
