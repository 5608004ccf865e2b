"""The serving image: built once for one content, addressed by digest, and it serves."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.environment import (
    BASE_REPOSITORY,
    SERVING_BASE,
    check_environment,
    triton_arguments,
)
from helpers.cloud.images import IMAGES, container_of, triton_parent
from helpers.cloud.serving_image import BUILD_ROLE, FILES, build_serving_image
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError
from helpers.local import images
from helpers.settings import ROOT


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model repository that is small and has the shape of the real one."""
    version = tmp_path / "repository" / "avatar_base" / "1"
    version.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "avatar_base" / "config.pbtxt", version.parent)
    (version / "model.py").write_text("# a base\n")
    return tmp_path / "repository"


def builds(cloud: Cloud) -> list[str]:
    """The builds of this test and of those before it; CodeBuild keeps them all."""
    project, codebuild = cloud.name("serving-image"), cloud.client("codebuild")
    try:
        return codebuild.list_builds_for_project(projectName=project)["ids"]
    except codebuild.exceptions.ResourceNotFoundException:
        return []


def test_the_same_content_is_built_once_and_other_content_is_another_image(
    own_cloud: Cloud, repository: Path
) -> None:
    ledger, said = own_cloud.ledger(), list[str]()
    first = build_serving_image(own_cloud, ledger, repository, say=said.append)
    assert re.fullmatch(
        r"123456789012\.dkr\.ecr\.us-east-1\.amazonaws\.com/avatar-ada-triton@sha256:[0-9a-f]{64}",
        first,
    )
    assert container_of(first) is IMAGES["avatars"]
    assert any("COPY repository/" in line for line in said) and "pushed" in said[-1]
    count = len(builds(own_cloud))
    assert build_serving_image(own_cloud, ledger, repository) == first
    assert len(builds(own_cloud)) == count, "what is there is not built again"
    (repository / "avatar_base" / "1" / "model.py").write_text("# another base\n")
    second = build_serving_image(own_cloud, ledger, repository, say=said.append)
    assert second != first and len(builds(own_cloud)) == count + 1
    for image, text in ((first, "# a base\n"), (second, "# another base\n")):
        found = images.find(own_cloud.settings.state, image)
        place = images.inside(found or {}, BASE_REPOSITORY)
        assert place and (place / "avatar_base" / "1" / "model.py").read_text() == text


def test_what_is_made_is_private_tagged_and_in_the_ledger(
    own_cloud: Cloud, repository: Path
) -> None:
    ledger = own_cloud.ledger()
    build_serving_image(own_cloud, ledger, repository, say=lambda _: None)
    ecr, codebuild = own_cloud.client("ecr"), own_cloud.client("codebuild")
    made = ecr.describe_repositories(repositoryNames=["avatar-ada-triton"])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"]["scanOnPush"]
    assert (
        "imageCountMoreThan"
        in ecr.get_lifecycle_policy(repositoryName="avatar-ada-triton")["lifecyclePolicyText"]
    )
    project = codebuild.batch_get_projects(names=["avatar-ada--serving-image"])["projects"][0]
    assert project["serviceRole"] == f"arn:aws:iam::123456789012:role/{own_cloud.name(BUILD_ROLE)}"
    entries = {(entry.kind, entry.name) for entry in ledger.open()}
    assert entries >= {
        ("ecr-repository", "avatar-ada-triton"),
        ("build-project", "avatar-ada--serving-image"),
        ("log-group", "/aws/codebuild/avatar-ada--serving-image"),
        ("s3-prefix", own_cloud.uri("")),
    }
    owned = [{"Key": "avatar-owner", "Values": ["ada"]}]
    found = own_cloud.client("resourcegroupstaggingapi").get_resources(TagFilters=owned)
    arns = {one["ResourceARN"] for one in found["ResourceTagMappingList"]}
    assert {made["repositoryArn"], project["arn"]} <= arns


def test_a_build_that_a_dead_kernel_began_is_followed(own_cloud: Cloud, repository: Path) -> None:
    (repository / "avatar_base" / "1" / "weights").write_bytes(os.urandom(30_000_000))  # takes time
    build_serving_image(own_cloud, own_cloud.ledger(), repository, say=lambda _: None)
    (repository / "avatar_base" / "1" / "model.py").write_text("# a third base\n")
    before, made = len(builds(own_cloud)), list[str]()

    def build() -> None:
        ledger = own_cloud.ledger()
        made.append(build_serving_image(own_cloud, ledger, repository, say=lambda _: None))

    callers = [threading.Thread(target=build) for _ in range(2)]
    callers[0].start()
    while len(builds(own_cloud)) == before:
        time.sleep(0.01)
    callers[1].start()
    for caller in callers:
        caller.join(60)
    assert len(made) == 2 and len(set(made)) == 1
    assert len(builds(own_cloud)) == before + 1


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    files = tmp_path / "files"
    shutil.copytree(FILES, files)
    monkeypatch.setattr("helpers.cloud.serving_image.FILES", files)
    yield files / "Dockerfile"


def test_a_failed_build_says_why_and_leaves_no_image(
    own_cloud: Cloud, repository: Path, broken: Path
) -> None:
    text = broken.read_text()
    broken.write_text(f"{text}COPY weights/ /opt/weights/\n")
    said: list[str] = []
    with pytest.raises(ServiceError, match=r'FAILED.*"/weights/": not found'):
        build_serving_image(own_cloud, own_cloud.ledger(), repository, say=said.append)
    assert any("COPY weights/" in line for line in said)
    found = own_cloud.client("ecr").describe_images(repositoryName="avatar-ada-triton")
    assert found["imageDetails"] == []
    broken.write_text(text)
    assert build_serving_image(own_cloud, own_cloud.ledger(), repository, say=said.append)


def test_a_build_can_be_stopped(own_cloud: Cloud, repository: Path) -> None:
    """As clean-up does: a build that runs bills on without its project."""
    codebuild = own_cloud.client("codebuild")
    build_serving_image(own_cloud, own_cloud.ledger(), repository, say=lambda _: None)
    project = own_cloud.name("serving-image")
    told = [{"name": name, "value": "a/b:1"} for name in ("PARENT", "IMAGE")]
    begun = codebuild.start_build(projectName=project, environmentVariablesOverride=told)["build"]
    assert begun["buildStatus"] == "IN_PROGRESS"
    assert codebuild.stop_build(id=begun["id"])["build"]["buildStatus"] in ("STOPPED", "FAILED")
    codebuild.delete_project(name=project)
    assert codebuild.list_projects()["projects"] == []
    with pytest.raises(ClientError, match="cannot be found"):
        codebuild.start_build(projectName=project)
    with pytest.raises(ClientError, match="does not exist"):
        codebuild.stop_build(id=f"{project}:none")


def test_a_folder_without_a_base_builds_nothing(own_cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"avatar_base/config\.pbtxt"):
        build_serving_image(own_cloud, own_cloud.ledger(), tmp_path)
    assert own_cloud.client("ecr").describe_repositories()["repositories"] == []


def test_the_build_uses_what_it_is_told_and_only_that() -> None:
    steps = yaml.safe_load((FILES / "buildspec.yml").read_text())
    commands = [line for phase in steps["phases"].values() for line in phase["commands"]]
    assert all(phase["on-failure"] == "ABORT" for phase in steps["phases"].values())
    told = set(re.findall(r"\$\{?([A-Z_]+)", "\n".join(commands)))
    assert told == {"PARENT", "IMAGE", "AWS_DEFAULT_REGION"}
    assert any(line.startswith("docker build") for line in commands)
    lines = (FILES / "Dockerfile").read_text().splitlines()
    assert f"COPY repository/ {BASE_REPOSITORY}/" in lines
    assert "FROM ${PARENT}" in lines and "ARG PARENT" in lines
    assert "sagemaker-tritonserver" in triton_parent("us-east-1")


def test_arguments_for_triton_survive_the_start_script() -> None:
    """It appends the variable unquoted: the shell's words must be the arguments."""
    assert SERVING_BASE.split() == [
        f"--model-repository={BASE_REPOSITORY}",
        "--load-model=avatar_base",
    ]
    for wrong in ("--model-repository=/a b", "--x='y'", "model", "--x=$(id)", "--x;y", "--x=*"):
        with pytest.raises(ServiceError, match="cannot be handed to Triton"):
            triton_arguments(wrong)
    assert len(triton_arguments("--x=" + "a" * 1020)) == 1024
    with pytest.raises(ServiceError, match=r"1,024 bytes"):
        triton_arguments("--x=" + "a" * 1021)


@given(value=st.text(max_size=1100), count=st.integers(1, 60))
def test_an_environment_is_measured_in_bytes(value: str, count: int) -> None:
    environment = {f"V{number:02}": value for number in range(count)}
    size = len(value.encode())
    if size <= 1024 and count * (3 + size) <= 32 * 1024:
        assert check_environment(environment) == environment
    else:
        with pytest.raises(ServiceError, match=r"(1,024|32,768) bytes"):
            check_environment(environment)
