"""The serving image: AWS's Triton extended by the shared base, built by CodeBuild in the account.

A multi-model endpoint refuses ``ModelDataSource``, so the base must be in the image. Nobody needs
Docker for that: the build context goes to S3, a CodeBuild project builds and pushes it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from helpers.cloud.images import IMAGES, triton_parent
from helpers.cloud.ledger import Ledger
from helpers.cloud.logs import read_group
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError
from helpers.s3 import split_uri
from helpers.settings import ROOT

FILES = ROOT / "infrastructure" / "serving_image"
REQUIREMENTS = ROOT / "requirements"
BUILD_ROLE = "build"
"""The role that CodeBuild works as, by its name without the learner's prefix. The course's
CloudFormation template makes it, and with it the repository and the project."""
BUILDER = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
LIMIT_S = 3600
_KEPT_IMAGES = 3
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_serving_image(
    cloud: Cloud,
    ledger: Ledger,
    base_repository: Path,
    *,
    say: Callable[[str], None] = print,
    timeout_s: float = LIMIT_S,
) -> str:
    """The image with ``base_repository`` in it, built unless it is there; returns its address.

    The tag is a hash of everything that goes in, so the same content is built once and an image
    never changes; the address names it by digest. A build that somebody else, or a kernel that
    died, has begun is followed. ``say`` gets the build's log.

    Raises ``ServiceError`` when the account refuses, with the end of the log when the build fails,
    and after ``timeout_s``.
    """
    # ECR takes no two hyphens in a row; whose it is, clean-up reads from its tags.
    repository, project = cloud.name("triton").replace("--", "-"), cloud.name("serving-image")
    parent = triton_parent(cloud.region)
    context = dict(_context(Path(base_repository)))
    tag = f"{IMAGES['avatars'].tag}-{_digest(context, parent)}"
    try:
        home = _ensure_repository(cloud, ledger, repository)
        image = _pushed(cloud, repository, tag)
        if image is None:
            build = _running(cloud, project, tag)
            if build is None:
                source = _upload(cloud, ledger, context, tag)
                _ensure_project(cloud, ledger, project)
                build = _start(cloud, project, source, PARENT=parent, IMAGE=f"{home}:{tag}")
            failed = _follow(cloud, build, say, timeout_s)
            # Two builds of one image: the second push of a tag is refused, and does not matter.
            image = _pushed(cloud, repository, tag)
            if failed and image is None:
                raise failed
    except ClientError as trouble:
        why = trouble.response["Error"].get("Message", str(trouble))
        raise ServiceError(
            "the serving image cannot be built",
            why,
            f"compare the learner's policy and the role {cloud.name(BUILD_ROLE)} with the template",
        ) from trouble
    if image is None:
        raise ServiceError("the build ended without an image", f"{repository} has no tag {tag}")
    return f"{home}@{image}"


def _context(base_repository: Path) -> Iterator[tuple[str, Path]]:
    """The files of the build, by their path in it."""
    yield from ((file.name, file) for file in sorted(FILES.iterdir()))
    for name in ("serving.txt", "constraints-serving.txt"):
        yield f"requirements/{name}", REQUIREMENTS / name
    files = [file for file in sorted(base_repository.rglob("*")) if file.is_file()]
    if not (base_repository / "avatar_base" / "config.pbtxt").is_file():
        raise ServiceError(
            "this folder is no model repository with a shared base",
            "avatar_base/config.pbtxt is not in it",
            "make it with helpers.hosting.repository",
        )
    for file in files:
        yield f"repository/{file.relative_to(base_repository).as_posix()}", file


def _digest(context: dict[str, Path], parent: str) -> str:
    # The parent without its registry: the same content has the same name in every region.
    whole = hashlib.sha256(parent.rpartition("/")[2].encode())
    for name, file in sorted(context.items()):
        with file.open("rb") as source:
            whole.update(f"\0{name}\0{hashlib.file_digest(source, 'sha256').hexdigest()}".encode())
    return whole.hexdigest()[:16]


def _ensure_repository(cloud: Cloud, ledger: Ledger, name: str) -> str:
    """The address of the learner's ECR repository, which keeps its three newest images."""
    ecr = cloud.client("ecr")
    with suppress(ecr.exceptions.RepositoryNotFoundException):
        return ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
    with ledger.creating("ecr-repository", name):
        made = ecr.create_repository(
            repositoryName=name,
            tags=cloud.tags,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
        )
        rule = {
            "rulePriority": 1,
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": _KEPT_IMAGES,
            },
            "action": {"type": "expire"},
        }
        ecr.put_lifecycle_policy(
            repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [rule]})
        )
    return made["repository"]["repositoryUri"]


def _pushed(cloud: Cloud, repository: str, tag: str) -> str | None:
    """The digest of the image with this tag, once it is there."""
    ecr = cloud.client("ecr")
    with suppress(ecr.exceptions.ImageNotFoundException):
        found = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
        return found["imageDetails"][0]["imageDigest"]
    return None


def _running(cloud: Cloud, project: str, tag: str) -> str | None:
    """A build of this very image that has begun and not ended."""
    codebuild = cloud.client("codebuild")
    try:
        ids = codebuild.list_builds_for_project(projectName=project, sortOrder="DESCENDING")["ids"]
    except codebuild.exceptions.ResourceNotFoundException:
        return None
    builds = codebuild.batch_get_builds(ids=ids[:20])["builds"] if ids else []
    for build in builds:
        told = build["environment"]["environmentVariables"]
        ours = any(one["name"] == "IMAGE" and one["value"].endswith(f":{tag}") for one in told)
        if ours and build["buildStatus"] == "IN_PROGRESS":
            return build["id"]
    return None


def _upload(cloud: Cloud, ledger: Ledger, context: dict[str, Path], tag: str) -> str:
    """Pack the context and put it into the learner's prefix; returns bucket and key."""
    prefix = cloud.uri("")
    if not any((entry.kind, entry.name) == ("s3-prefix", prefix) for entry in ledger.open()):
        ledger.planned("s3-prefix", prefix)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "context.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, file in sorted(context.items()):
                member = zipfile.ZipInfo(name, _EPOCH)
                member.file_size = file.stat().st_size
                with file.open("rb") as source, archive.open(member, "w") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
        bucket, key = split_uri(cloud.upload(path, "serving-image", f"{tag}.zip"))
    return f"{bucket}/{key}"


def _ensure_project(cloud: Cloud, ledger: Ledger, name: str) -> None:
    codebuild = cloud.client("codebuild")
    if codebuild.batch_get_projects(names=[name])["projects"]:
        return
    ledger.planned("log-group", f"/aws/codebuild/{name}")
    with ledger.creating("build-project", name):
        codebuild.create_project(
            name=name,
            description="Builds the serving image of the avatar course",
            source={"type": "S3", "location": f"{cloud.bucket}/{cloud.prefix}/serving-image/"},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": BUILDER,
                "computeType": "BUILD_GENERAL1_LARGE",
                "privilegedMode": True,  # docker build needs it
            },
            serviceRole=f"{cloud.role_arn.partition(':role/')[0]}:role/{cloud.name(BUILD_ROLE)}",
            timeoutInMinutes=LIMIT_S // 60,
            tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in cloud.tags],
        )


def _start(cloud: Cloud, project: str, source: str, **told: str) -> str:
    started = cloud.client("codebuild").start_build(
        projectName=project,
        sourceTypeOverride="S3",
        sourceLocationOverride=source,
        environmentVariablesOverride=[
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in told.items()
        ],
        idempotencyToken=str(uuid.uuid4()),  # one build, however often boto3 sends the request
    )
    return started["build"]["id"]


def _follow(
    cloud: Cloud, build: str, say: Callable[[str], None], timeout_s: float
) -> ServiceError | None:
    """Tell the log of a build until it ends; returns why it failed, if it did.

    Raises ``ServiceError`` after ``timeout_s``.
    """
    ends, told = time.monotonic() + timeout_s, _Told(cloud, build, say)
    while True:
        found = cloud.client("codebuild").batch_get_builds(ids=[build])["builds"][0]
        told.more()
        if found["buildStatus"] == "SUCCEEDED":
            return None
        if found["buildStatus"] != "IN_PROGRESS":
            time.sleep(cloud.pause(10, brisk=1))  # the last lines come late
            told.more()
            return ServiceError(
                f"the build {build} ended as {found['buildStatus']}",
                "; ".join(_reasons(found)) or "it gives no reason",
                f"its log ends: {told.tail}" if told.tail else "",
            )
        if time.monotonic() > ends:
            raise ServiceError(f"the build {build} still runs after {timeout_s:.0f} s")
        time.sleep(cloud.pause(10))


def _reasons(build: dict[str, Any]) -> list[str]:
    contexts = [one for phase in build.get("phases", []) for one in phase.get("contexts", [])]
    return [one["message"] for one in contexts if one.get("message")]


class _Told:
    """The log of one build, each line said once."""

    def __init__(self, cloud: Cloud, build: str, say: Callable[[str], None]) -> None:
        self._cloud, self._say = cloud, say
        project, _, self._stream = build.partition(":")
        self._group, self._seen = f"/aws/codebuild/{project}", set[str]()
        self.tail = ""

    def more(self) -> None:
        for line in read_group(self._cloud, self._group, stream=self._stream):
            if line.id not in self._seen:
                self._seen.add(line.id)
                self.tail = line.text or self.tail
                self._say(line.text)
