"""The account: names, tags, images and prices; and AWS without an account says so."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.endpoints import deploy_async
from helpers.cloud.images import djl_image
from helpers.cloud.jobs import Job, result, submit
from helpers.cloud.session import Cloud, open_cloud
from helpers.errors import JobError, ServiceError
from helpers.local.wire import service_model
from helpers.s3 import split_uri
from helpers.settings import Settings


def test_opening_twice_finds_the_same_account(cloud: Cloud) -> None:
    again = open_cloud(cloud.settings)
    assert (again.account, again.bucket, again.role_arn) == (
        "123456789012", "sagemaker-us-east-1-123456789012", cloud.role_arn,
    )  # fmt: skip
    assert again.local


def test_aws_without_credentials_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ServiceError, match="AVATAR_BACKEND=local"):
        open_cloud(Settings(backend="aws", state=tmp_path))


def test_the_sdk_does_not_call_home(cloud: Cloud) -> None:
    path = Path(os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"])
    assert re.search(r"TelemetryOptOut: true", path.read_text())


@given(stem=st.text(alphabet=st.sampled_from("abcXYZ019-_ /é"), max_size=60))
def test_names_are_valid_for_sagemaker_or_refused(cloud: Cloud, stem: str) -> None:
    shape = service_model("sagemaker").shape_for("EndpointName")
    try:
        name = cloud.name(stem)
    except ServiceError:
        return
    assert re.fullmatch(shape.metadata["pattern"], name) and len(name) <= 63
    assert name.startswith("avatar-tester-")
    assert cloud.name(name) == name


def test_uris_and_their_parts(cloud: Cloud) -> None:
    uri = cloud.uri("mme", "one.tar.gz")
    assert split_uri(uri) == (cloud.bucket, "avatar-course/tester/mme/one.tar.gz")
    for wrong in ("https://x/y", "s3://", "bucket/key"):
        with pytest.raises(ServiceError):
            split_uri(wrong)


def test_a_taken_name_is_explained(cloud: Cloud, tmp_path: Path) -> None:
    cloud.client("s3").put_object(Bucket=cloud.bucket, Key="m.tar.gz", Body=b"x")
    asked = {
        "name": "taken", "image": djl_image(cloud.region), "instance_type": "ml.g5.xlarge",
        "model_data": f"s3://{cloud.bucket}/m.tar.gz",
    }  # fmt: skip
    deploy_async(cloud, cloud.ledger(), **asked)
    with pytest.raises(ServiceError, match="Clean up first"):
        deploy_async(cloud, cloud.ledger(), **asked)
    with pytest.raises(ServiceError, match="Could not find model data"):
        deploy_async(
            cloud, cloud.ledger(), **{**asked, "name": "no-data", "model_data": cloud.uri("gone")}
        )
    assert cloud.name("no-data") not in {entry.name for entry in cloud.ledger().open()}


@pytest.mark.parametrize("text", ["", "{}", '{"endpoint": 1}', "null"])
def test_a_damaged_job_file_is_refused(text: str) -> None:
    with pytest.raises(JobError, match="no saved job"):
        Job.from_json(text)


def test_a_job_that_has_not_ended_has_no_result(cloud: Cloud) -> None:
    places = {"output_location": cloud.uri("no"), "failure_location": cloud.uri("nor")}
    nowhere = Job(
        endpoint="e", inference_id="i", input_location="", submitted=0, timeout_s=1, **places
    )
    with pytest.raises(JobError, match="has not ended"):
        result(cloud, nowhere)


def test_a_request_needs_an_endpoint_and_a_plain_id(cloud: Cloud, tmp_path: Path) -> None:
    request = tmp_path / "request.tar.gz"
    request.write_bytes(b"photos")
    with pytest.raises(JobError, match="not found"):
        submit(cloud, "nobody", request)
    with pytest.raises(JobError, match="inference id"):
        submit(cloud, "nobody", request, inference_id="../x")
