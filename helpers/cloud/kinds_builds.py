"""The serving image: the project that builds it and the repository that holds it.

Their names follow other rules than SageMaker's, so the tags, read one by one, say whose they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from botocore.exceptions import ClientError

from helpers.cloud.kinds import Kind, is_missing, pages, tagged_ours
from helpers.cloud.session import Cloud

_BEGIN = "avatar-"


def _projects(cloud: Cloud) -> Iterator[str]:
    names = pages(cloud, "codebuild", "list_projects", "projects")
    ours = (name for name in names if name.startswith(_BEGIN))
    while some := list(islice(ours, 100)):
        found = cloud.client("codebuild").batch_get_projects(names=some)["projects"]
        yield from (item["name"] for item in found if tagged_ours(cloud, item.get("tags", [])))


def _has_project(cloud: Cloud, name: str) -> bool:
    return bool(cloud.client("codebuild").batch_get_projects(names=[name])["projects"])


def _remove_project(cloud: Cloud, name: str) -> None:
    """A build that runs bills on without its project, so it is stopped first."""
    codebuild = cloud.client("codebuild")
    ids = codebuild.list_builds_for_project(projectName=name).get("ids", [])
    if ids:  # newest first: the first hundred hold whatever still runs
        for build in codebuild.batch_get_builds(ids=ids[:100])["builds"]:
            if build["buildStatus"] == "IN_PROGRESS":
                _stop(cloud, build["id"])
    codebuild.delete_project(name=name)


def _stop(cloud: Cloud, build: str) -> None:
    try:
        cloud.client("codebuild").stop_build(id=build)
    except ClientError as trouble:  # it has just ended
        if not is_missing(trouble):
            raise


def _repositories(cloud: Cloud) -> Iterator[str]:
    ecr = cloud.client("ecr")
    for item in pages(cloud, "ecr", "describe_repositories", "repositories"):
        if item["repositoryName"].startswith(_BEGIN) and tagged_ours(
            cloud, ecr.list_tags_for_resource(resourceArn=item["repositoryArn"])["tags"]
        ):
            yield item["repositoryName"]


def _has_repository(cloud: Cloud, name: str) -> bool:
    return bool(cloud.client("ecr").describe_repositories(repositoryNames=[name])["repositories"])


def _remove_repository(cloud: Cloud, name: str) -> None:
    """With the images in it."""
    cloud.client("ecr").delete_repository(repositoryName=name, force=True)


BUILDS: dict[str, Kind] = {
    "build-project": Kind(find=_projects, exists=_has_project, remove=_remove_project),
    "ecr-repository": Kind(
        find=_repositories,
        exists=_has_repository,
        remove=_remove_repository,
        after=("endpoint", "build-project"),
    ),
}
