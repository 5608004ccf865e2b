"""``ModelDataSource``: what the local SageMaker takes, lays out and refuses, as the API says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.archives import read_members
from helpers.cloud.deployment import model_data_of
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError
from helpers.local.hosts import ModelDataError
from helpers.local.model_source import file_names
from helpers.s3 import split_uri
from tests.local.conftest import model_archive
from tests.local.jobs import run
from tests.local.test_control_plane import refusal

LISTS = """
from pathlib import Path
from djl_python import Output

def handle(inputs):
    if not inputs.is_empty():
        here = Path(inputs.get_properties().get("model_dir", "."))
        found = [path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()]
        return Output().add_as_json({"files": found})
"""
"""A handler that tells which files its container has."""


def _lay_out(cloud: Cloud, members: dict[str, bytes], *place: str) -> str:
    uri = cloud.uri("sources", *place) + "/"
    bucket, prefix = split_uri(uri)
    for name, data in members.items():
        cloud.client("s3").put_object(Bucket=bucket, Key=prefix + name, Body=data)
    return uri


@pytest.fixture(scope="module")
def prefix(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The files of a model, side by side in S3."""
    archive = model_archive(tmp_path_factory.mktemp("model"), handler=LISTS)
    return _lay_out(cloud, {**read_members(archive), "base/unet/x.bin": b"weights"}, "whole")


def _source(uri: str, kind: str = "S3Prefix", compression: str = "None") -> dict[str, Any]:
    return {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}}


@pytest.fixture
def deployed(cloud: Cloud, ledger: Ledger, prefix: str) -> Iterator[str]:
    made = deploy_async(
        cloud, ledger, name="from-prefix", image=djl_image(cloud.region), model_data=prefix,
        instance_type="ml.g5.xlarge",
    )  # fmt: skip
    wait_in_service(cloud, made.endpoint, timeout_s=60)
    yield made.endpoint
    cloud.client("sagemaker").delete_endpoint(EndpointName=made.endpoint)


def test_every_file_below_a_prefix_is_laid_out_as_it_is(
    cloud: Cloud, deployed: str, prefix: str
) -> None:
    sagemaker = cloud.client("sagemaker")
    container = sagemaker.describe_model(ModelName=deployed)["PrimaryContainer"]
    assert container["ModelDataSource"] == _source(prefix)
    assert "ModelDataUrl" not in container
    variant = sagemaker.describe_endpoint_config(EndpointConfigName=deployed)
    assert variant["ProductionVariants"][0]["ModelDataDownloadTimeoutInSeconds"] == 1800
    files = run(cloud, deployed)["files"]
    assert {"model.py", "serving.properties", "helpers/__init__.py", "base/unet/x.bin"} == {*files}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Mode": "MultiModel"}, "cannot be used with a multi-model endpoint"),
        ({"ModelDataUrl": "s3://bucket/model.tar.gz"}, "not both"),
        ({"ModelDataSource": {}}, "names no S3DataSource"),
        ({"ModelDataSource": _source("https://bucket/x/")}, "must be an S3 location"),
        ({"ModelDataSource": _source("s3://bucket/x")}, "ends with a forward slash"),
        ({"ModelDataSource": _source("s3://b/x/", compression="Gzip")}, "needs an S3Object"),
    ],
)
def test_what_the_api_forbids_is_refused(
    cloud: Cloud, prefix: str, change: dict[str, Any], words: str
) -> None:
    container = {"Image": djl_image(cloud.region), "ModelDataSource": _source(prefix), **change}
    code, said = refusal(
        cloud.client("sagemaker").create_model,
        ModelName="from-a-source",
        PrimaryContainer=container,
        ExecutionRoleArn=cloud.role_arn,
    )
    assert (code, words in said) == ("ValidationException", True), said


@pytest.mark.parametrize("kind", ["S3Prefix", "S3Object"])
def test_a_source_without_an_object_is_refused(cloud: Cloud, kind: str) -> None:
    _, said = refusal(
        cloud.client("sagemaker").create_model,
        ModelName="from-nothing",
        PrimaryContainer={
            "Image": djl_image(cloud.region),
            "ModelDataSource": _source(cloud.uri("nothing") + "/", kind),
        },
        ExecutionRoleArn=cloud.role_arn,
    )
    assert "Could not find model data" in said


def test_an_ambiguous_name_fails_the_deployment(cloud: Cloud, ledger: Ledger) -> None:
    uri = _lay_out(cloud, {"weights": b"1", "weights/part1": b"2"}, "ambiguous")
    made = deploy_async(
        cloud, ledger, name="ambiguous", image=djl_image(cloud.region), model_data=uri,
        instance_type="ml.g5.xlarge",
    )  # fmt: skip
    with pytest.raises(ServiceError, match="a file and a folder"):
        wait_in_service(cloud, made.endpoint, timeout_s=60)
    cloud.client("sagemaker").delete_endpoint(EndpointName=made.endpoint)


PART = st.text(st.characters(codec="ascii", exclude_characters="/\0"), min_size=1, max_size=6)
GOOD = PART.filter(lambda part: part not in (".", ".."))


@given(names=st.sets(st.lists(GOOD, min_size=1, max_size=3).map("/".join), min_size=1))
def test_names_are_the_keys_less_the_prefix(names: set[str]) -> None:
    source = _source("s3://bucket/models/x/")["S3DataSource"]
    keys = [f"models/x/{name}" for name in names]
    folders = {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"}
    if folders & names:
        with pytest.raises(ModelDataError, match="a file and a folder"):
            file_names(source, keys)
    else:
        assert set(file_names(source, keys).values()) == names


@pytest.mark.parametrize("name", ["", "a//b", "../x", "a/./b", "x" * 256, "a/", "a\0b"])
def test_a_key_that_makes_no_file_name_fails_the_deployment(name: str) -> None:
    source = _source("s3://bucket/models/")["S3DataSource"]
    with pytest.raises(ModelDataError, match="makes no file name"):
        file_names(source, ["models/fine", f"models/{name}"])


def test_one_object_keeps_the_last_part_of_its_key() -> None:
    source = _source("s3://bucket/a/b/model.bin", "S3Object")["S3DataSource"]
    assert file_names(source, ["a/b/model.bin"]) == {"a/b/model.bin": "model.bin"}


def test_a_location_is_an_archive_or_a_prefix() -> None:
    assert model_data_of("s3://bucket/m.tar.gz") == {"ModelDataUrl": "s3://bucket/m.tar.gz"}
    assert model_data_of("s3://bucket/m/") == {"ModelDataSource": _source("s3://bucket/m/")}
