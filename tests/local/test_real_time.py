"""A real-time endpoint on the DJL host: answers, model errors, limits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.cloud.images import djl_image
from helpers.cloud.session import Cloud
from helpers.local import data_plane
from helpers.local.wire import Call, Refusal
from tests.local.conftest import model_archive
from tests.local.planes import own_planes

NAME = "real-time"


def create(cloud: Cloud, archive: str, environment: dict[str, str]) -> list[Call]:
    """The three calls that make a real-time endpoint."""
    container = {
        "Image": djl_image(cloud.region), "ModelDataUrl": archive, "Environment": environment
    }  # fmt: skip
    variant = {
        "VariantName": "AllTraffic", "ModelName": NAME, "InitialInstanceCount": 1,
        "InstanceType": "ml.g5.xlarge",
    }  # fmt: skip
    model = {"PrimaryContainer": container, "ExecutionRoleArn": cloud.role_arn}
    return [
        Call(operation="CreateModel", parameters={"ModelName": NAME, **model}),
        Call(operation="CreateEndpointConfig",
             parameters={"EndpointConfigName": NAME, "ProductionVariants": [variant]}),
        Call(operation="CreateEndpoint",
             parameters={"EndpointName": NAME, "EndpointConfigName": NAME}),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def archive(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = model_archive(tmp_path_factory.mktemp("model"), properties="job_queue_size=1\n")
    return cloud.upload(path, "real-time.tar.gz")


@pytest.fixture(scope="module")
def endpoint(cloud: Cloud, archive: str) -> Iterator[str]:
    sagemaker = cloud.client("sagemaker")
    model, config, endpoint = create(cloud, archive, {"SERVING_MAX_REQUEST_SIZE": "1000000"})
    sagemaker.create_model(**model.parameters)
    sagemaker.create_endpoint_config(**config.parameters)
    sagemaker.create_endpoint(**endpoint.parameters)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig={"Delay": 1})
    yield NAME
    sagemaker.delete_endpoint(EndpointName=NAME)


def invoke(cloud: Cloud, body: bytes, **more: object) -> dict[str, Any]:
    runtime = cloud.client("sagemaker-runtime")
    return runtime.invoke_endpoint(
        EndpointName=NAME, Body=body, ContentType="application/json", **more
    )


def test_an_answer_comes_back(cloud: Cloud, endpoint: str) -> None:
    answer = invoke(cloud, b'{"do": "echo", "word": 7}', CustomAttributes="a=1")
    assert json.loads(answer["Body"].read())["word"] == 7
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"].startswith("application/json")


def test_an_exception_is_a_model_error(cloud: Cloud, endpoint: str) -> None:
    with pytest.raises(ClientError) as refused:
        invoke(cloud, b'{"do": "fail"}')
    answer = refused.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 424
    assert json.loads(answer["OriginalMessage"]) == {
        "code": 424,
        "message": "invoke handler failure",
        "error": "the photos are blurred",
    }
    assert answer["LogStreamArn"].endswith(f":log-group:/aws/sagemaker/Endpoints/{endpoint}")


def test_a_container_may_take_less_than_sagemaker(cloud: Cloud, endpoint: str) -> None:
    with pytest.raises(ClientError) as refused:
        invoke(cloud, b" " * 1_000_001)
    assert refused.value.response["OriginalStatusCode"] == 413


def test_more_than_six_megabytes_are_refused(cloud: Cloud, endpoint: str) -> None:
    with pytest.raises(ClientError, match="exceeded 6291456 bytes") as refused:
        invoke(cloud, b" " * 6_291_457)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


@pytest.mark.parametrize(("size", "fits"), [(6_291_456, True), (6_291_457, False)])
def test_an_answer_of_more_than_six_megabytes_is_refused(
    cloud: Cloud, endpoint: str, size: int, fits: bool
) -> None:
    body = json.dumps({"do": "much", "bytes": size}).encode()
    if fits:
        assert len(invoke(cloud, body)["Body"].read()) == size
        return
    with pytest.raises(ClientError, match="the limit is 6291456") as refused:
        invoke(cloud, body)
    assert refused.value.response["Error"]["Code"] == "ModelError"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"TargetModel": "a.tar.gz"}, "is not a multi-model endpoint and does not support target"),
        ({"TargetVariant": "Other"}, "Variant Other not found"),
        ({"EndpointName": "nobody"}, "Endpoint nobody of account 123456789012 not found."),
    ],
)
def test_what_a_call_may_not_ask(
    cloud: Cloud, endpoint: str, more: dict[str, str], said: str
) -> None:
    asked = {"EndpointName": NAME, "Body": b"{}", **more}
    with pytest.raises(ClientError) as refused:
        cloud.client("sagemaker-runtime").invoke_endpoint(**asked)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert said in refused.value.response["Error"]["Message"]


def test_an_asynchronous_call_is_refused(cloud: Cloud, endpoint: str) -> None:
    with pytest.raises(ClientError, match="is not an asynchronous endpoint"):
        cloud.client("sagemaker-runtime").invoke_endpoint_async(EndpointName=NAME, Body=b"{}")


def test_the_limits_are_those_of_aws() -> None:
    assert (data_plane.SYNC_TIMEOUT_S, data_plane.MAX_BODY_BYTES) == (60, 6_291_456)


def test_an_answer_that_takes_too_long_is_not_waited_for(
    cloud: Cloud, archive: str, tmp_path: Path
) -> None:
    slow = Call(
        operation="InvokeEndpoint", parameters={"EndpointName": NAME},
        payload=b'{"do": "sleep", "seconds": 30}',
    )  # fmt: skip
    with own_planes(cloud, tmp_path, create(cloud, archive, {}), sync_timeout_s=1) as plane:
        began = time.monotonic()
        with pytest.raises(Refusal, match="timed out while waiting for a response") as refused:
            plane.answer(slow)
        assert 1 <= time.monotonic() - began < 10
    assert (refused.value.code, refused.value.status) == ("ModelError", 424)
