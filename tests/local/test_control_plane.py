"""Models, configurations, endpoints and tags: what SageMaker takes, refuses, and says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from helpers.cloud import jobs
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.ledger import Ledger
from helpers.cloud.logs import read_logs
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError
from helpers.local.constraints import violations
from helpers.local.djl_properties import parse
from helpers.local.wire import Refusal, read_control_call, service_model
from tests.local.conftest import Deploy, model_archive
from tests.local.jobs import run, send, wait


@pytest.fixture(scope="module")
def model(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A complete CreateModel request but for its name."""
    archive = cloud.upload(model_archive(tmp_path_factory.mktemp("model")), "control.tar.gz")
    return {
        "PrimaryContainer": {"Image": djl_image(cloud.region), "ModelDataUrl": archive},
        "ExecutionRoleArn": cloud.role_arn,
    }


def variant(name: str, **more: object) -> dict[str, Any]:
    return {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.g5.xlarge",
        **more,
    }


def refusal(call: Any, **asked: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**asked)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_name_is_taken_once(cloud: Cloud, model: dict[str, Any]) -> None:
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_model(ModelName="Twice", **model)
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model/twice"
    assert refusal(sagemaker.create_model, ModelName="Twice", **model) == (
        "ValidationException",
        f'Cannot create already existing model "{arn}".',
    )
    asked = {"EndpointConfigName": "twice", "ProductionVariants": [variant("Twice")]}
    sagemaker.create_endpoint_config(**asked)
    code, said = refusal(sagemaker.create_endpoint_config, **asked)
    assert "Cannot create already existing endpoint configuration" in said
    sagemaker.create_endpoint(EndpointName="twice", EndpointConfigName="twice")
    code, said = refusal(
        sagemaker.create_endpoint, EndpointName="twice", EndpointConfigName="twice"
    )
    assert (code, "Cannot create already existing endpoint" in said) == (
        "ValidationException",
        True,
    )
    code, said = refusal(sagemaker.delete_endpoint, EndpointName="twice")
    assert "in-progress" in said, "an endpoint that is being created cannot be deleted"
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName="twice", WaiterConfig={"Delay": 1}
    )
    sagemaker.delete_endpoint(EndpointName="twice")
    assert sagemaker.describe_endpoint(EndpointName="twice")["EndpointStatus"] == "Deleting"
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="twice", WaiterConfig={"Delay": 1})
    sagemaker.delete_endpoint_config(EndpointConfigName="twice")
    sagemaker.delete_model(ModelName="Twice")
    assert "Could not find model" in refusal(sagemaker.delete_model, ModelName="Twice")[1]


@pytest.mark.parametrize(
    ("operation", "key", "words"),
    [
        ("describe_model", "ModelName", "model"),
        ("describe_endpoint_config", "EndpointConfigName", "endpoint configuration"),
        ("describe_endpoint", "EndpointName", "endpoint"),
        ("delete_endpoint", "EndpointName", "endpoint"),
    ],
)
def test_what_is_missing_is_named(cloud: Cloud, operation: str, key: str, words: str) -> None:
    code, said = refusal(getattr(cloud.client("sagemaker"), operation), **{key: "nobody"})
    assert code == "ValidationException"
    assert said.startswith(f'Could not find {words} "arn:aws:sagemaker:')


def test_what_a_request_refers_to_must_exist(cloud: Cloud, model: dict[str, Any]) -> None:
    sagemaker = cloud.client("sagemaker")
    asked = {"EndpointConfigName": "c", "ProductionVariants": [variant("nobody")]}
    assert "Could not find model" in refusal(sagemaker.create_endpoint_config, **asked)[1]
    asked = {"EndpointName": "e", "EndpointConfigName": "nobody"}
    assert "Could not find endpoint configuration" in refusal(sagemaker.create_endpoint, **asked)[1]
    container = model["PrimaryContainer"]
    gone = {**model, "PrimaryContainer": {**container, "ModelDataUrl": cloud.uri("gone.tar.gz")}}
    assert "Could not find model data at s3://" in refusal(
        sagemaker.create_model, ModelName="m", **gone
    )[1]  # fmt: skip
    nobody = {**model, "ExecutionRoleArn": "arn:aws:iam::123456789012:role/nobody"}
    assert "Could not assume role" in refusal(sagemaker.create_model, ModelName="m", **nobody)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Colour": "blue"}, "Unknown parameter"),
        ({"ModelName": "under_score"}, "regular expression pattern"),
        ({"ModelName": "n" * 64}, "length less than or equal to 63"),
        ({"ModelName": None}, "Invalid type for parameter ModelName"),
        ({"ExecutionRoleArn": "role"}, "valid min length: 20"),
        ({"PrimaryContainer": {"Image": "x", "Mode": "Both"}}, "enum value set"),
        ({"PrimaryContainer": {"Image": "x", "Environment": {"A": 1}}}, "Invalid type"),
    ],
)
def test_requests_are_checked_against_the_service_model(
    careless: Callable[[str], Any], model: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    unchecked = careless("sagemaker")
    if "Colour" in change:  # botocore would drop what it does not know
        unchecked.meta.events.register(
            "before-call.sagemaker.CreateModel",
            lambda params, **_: params.update(body=params["body"][:-1] + b', "Colour": "blue"}'),
        )
        change = {}
    code, message = refusal(unchecked.create_model, **{"ModelName": "checked", **model, **change})
    assert code == "ValidationException"
    assert "validation error" in message and said in message


def test_variants_are_checked(cloud: Cloud, model: dict[str, Any]) -> None:
    create = cloud.client("sagemaker").create_endpoint_config
    cloud.client("sagemaker").create_model(ModelName="many", **model)

    def refused(*variants: dict[str, Any], **more: object) -> tuple[str, str]:
        return refusal(create, EndpointConfigName="c", ProductionVariants=list(variants), **more)

    assert "unique" in refused(variant("many"), variant("many"))[1]
    assert "enum" in refused(variant("many", InstanceType="ml.huge"))[1]
    output = {"OutputConfig": {"S3OutputPath": cloud.uri("out")}}
    two = (variant("many"), variant("many", VariantName="Other"))
    assert "one variant" in refused(*two, AsyncInferenceConfig=output)[1]


def test_listings_come_in_pages(cloud: Cloud, model: dict[str, Any]) -> None:
    sagemaker = cloud.client("sagemaker")
    names = [f"page-{letter}" for letter in "badce"]
    for name in names:
        sagemaker.create_model(ModelName=name, **model)
    pages = sagemaker.get_paginator("list_models").paginate(
        NameContains="page-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    found = [[item["ModelName"] for item in page["Models"]] for page in pages]
    assert found == [["page-a", "page-b"], ["page-c", "page-d"], ["page-e"]]
    newest = sagemaker.list_models(NameContains="page-", MaxResults=1)["Models"]
    assert newest[0]["ModelName"] == names[-1]
    assert "token" in refusal(sagemaker.list_models, NextToken="made up")[1]


def test_tags_are_kept_listed_and_found(cloud: Cloud, model: dict[str, Any]) -> None:
    sagemaker, tagging = cloud.client("sagemaker"), cloud.client("resourcegroupstaggingapi")
    tags = [{"Key": "room", "Value": "seven"}]
    arn = sagemaker.create_model(ModelName="tagged", Tags=tags, **model)["ModelArn"]
    queue = cloud.client("sqs").create_queue(QueueName="tagged", tags={"room": "seven"})

    def with_tag(**more: object) -> set[str]:
        asked = {"TagFilters": [{"Key": "room", "Values": ["seven"]}], **more}
        found = tagging.get_resources(**asked)["ResourceTagMappingList"]
        return {item["ResourceARN"].rpartition(":")[2] for item in found}

    assert with_tag() == {"model/tagged", "tagged"}
    assert with_tag(ResourceTypeFilters=["sagemaker:model"]) == {"model/tagged"}
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "row", "Value": "2"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["room"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "row", "Value": "2"}]
    assert with_tag() == {"tagged"}
    sagemaker.delete_model(ModelName="tagged")
    assert "Could not find" in refusal(sagemaker.list_tags, ResourceArn=arn)[1]
    cloud.client("sqs").delete_queue(QueueUrl=queue["QueueUrl"])


def test_an_endpoint_takes_time_and_describes_itself(cloud: Cloud, shared: str) -> None:
    found = cloud.client("sagemaker").describe_endpoint(EndpointName=shared)
    assert found["EndpointStatus"] == "InService"
    assert found["LastModifiedTime"] > found["CreationTime"]
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert found["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"].startswith("s3://")
    config = cloud.client("sagemaker").describe_endpoint_config(EndpointConfigName=shared)
    assert config["ProductionVariants"][0]["InferenceAmiVersion"].startswith("al2023")


@pytest.mark.promise(
    "An endpoint that cannot start says why",
    fault="a base that is missing, a package that is missing, a crash, no handler",
    outcome="`Failed` with the reason",
)
@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("def handle(inputs):\n    raise OSError('the base model is not there')\n", "is not there"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("import os\nos.abort()\n", "ended while it loaded"),
        ("def other(inputs): pass\n", "handle"),
    ],
)
def test_a_container_that_cannot_start_fails_the_endpoint_with_the_reason(
    cloud: Cloud, ledger: Ledger, deploy: Deploy, handler: str, said: str
) -> None:
    with pytest.raises(ServiceError, match="did not pass the ping health check") as failed:
        deploy(handler=handler)
    assert said in str(failed.value)


def test_the_log_of_a_failed_start_holds_its_traceback(cloud: Cloud, deploy: Deploy) -> None:
    with pytest.raises(ServiceError) as failed:
        deploy(handler="def handle(inputs):\n    return 1 / 0  # the last line\n")
    endpoint = str(failed.value).split()[2]
    until, text = time.monotonic() + 10, ""
    while "ZeroDivisionError" not in text and time.monotonic() < until:
        text = "\n".join(line.text for line in read_logs(cloud, endpoint))
        time.sleep(0.1)
    assert "the last line" in text and "ZeroDivisionError" in text


def test_an_unusable_archive_and_an_unknown_image_fail_it_too(
    cloud: Cloud, ledger: Ledger, tmp_path: Path
) -> None:
    broken = tmp_path / "model.tar.gz"
    broken.write_bytes(b"no archive at all")
    archive = model_archive(tmp_path)
    for name, image, data, said in (
        ("unusable", djl_image(cloud.region), broken, "Failed to extract model data archive"),
        ("unknown", "123456789012.dkr.ecr.us-east-1.amazonaws.com/nobody:1", archive, "nobody:1"),
    ):
        deploy_async(
            cloud, ledger, name=name, image=image, model_data=data, instance_type="ml.m5.xlarge"
        )
        with pytest.raises(ServiceError, match=said):
            wait_in_service(cloud, name)
        cloud.client("sagemaker").delete_endpoint(EndpointName=cloud.name(name))


@pytest.mark.promise(
    "A bad update leaves the old model serving",
    fault="an update to a model that cannot be imported",
    outcome="the endpoint stays in service with the old one; running jobs complete",
)
def test_an_update_swaps_the_model_and_a_bad_one_leaves_the_old(
    cloud: Cloud, deploy: Deploy, tmp_path: Path
) -> None:
    sagemaker, endpoint = cloud.client("sagemaker"), deploy()
    other = deploy(environment={"OPTION_GREETING": "good day"})
    before = run(cloud, endpoint, do="see")
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=other)
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating"
    _, said = refusal(sagemaker.update_endpoint, EndpointName=endpoint, EndpointConfigName=other)
    assert "in-progress" in said
    slow = send(cloud, endpoint, do="sleep", seconds=1)  # to the old instance: it may end
    time.sleep(0.2)
    wait_in_service(cloud, endpoint)
    assert wait(cloud, slow) == "completed"
    after = run(cloud, endpoint, do="see")
    assert (before["options"]["greeting"], after["options"]["greeting"]) == ("hello", "good day")
    with pytest.raises(ServiceError):
        deploy(handler="import nowhere_to_be_found\n")
    bad = sagemaker.list_endpoint_configs(SortBy="CreationTime", MaxResults=1)["EndpointConfigs"]
    sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=bad[0]["EndpointConfigName"]
    )
    wait_in_service(cloud, endpoint)
    found = sagemaker.describe_endpoint(EndpointName=endpoint)
    assert found["EndpointConfigName"] == other
    assert "nowhere_to_be_found" in found["FailureReason"]
    assert run(cloud, endpoint, do="see")["options"]["greeting"] == "good day"


def test_capacity_can_be_changed_down_to_nothing_and_back(cloud: Cloud, deploy: Deploy) -> None:
    sagemaker, endpoint = cloud.client("sagemaker"), deploy()

    def scale(count: int) -> int:
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[
                {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
            ],
        )
        wait_in_service(cloud, endpoint)
        found = sagemaker.describe_endpoint(EndpointName=endpoint)
        return found["ProductionVariants"][0]["CurrentInstanceCount"]

    assert scale(2) == 2
    sent = [send(cloud, endpoint, do="sleep", seconds=0.5) for _ in range(2)]
    assert {wait(cloud, job) for job in sent} == {"completed"}
    assert len({jobs.result(cloud, job)["pid"] for job in sent}) == 2
    assert scale(0) == 0
    waiting = send(cloud, endpoint, do="echo")
    time.sleep(0.3)
    assert scale(1) == 1
    assert wait(cloud, waiting) == "completed", "the queue kept the request"


@pytest.mark.promise(
    "The service's own checks never fall over",
    fault="fuzzed requests",
    outcome="refused with the fault named",
)
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_no_request_shape_makes_the_validator_fall_over(parameters: dict[str, str]) -> None:
    shape = service_model("sagemaker").operation_model("CreateModel").input_shape
    found = violations(parameters, shape)
    assert found, "none of these is a model"
    assert all(isinstance(text, str) for text in found)


@given(st.dictionaries(st.from_regex(r"[a-zA-Z_.]{1,12}", fullmatch=True),
                       st.from_regex(r"[ -~]{0,20}", fullmatch=True).map(str.strip)))  # fmt: skip
def test_properties_files_are_read_back(values: dict[str, str]) -> None:
    text = "# a remark\n\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    assert parse(text) == values


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"[]", b"\xff", b"5"])
def test_a_body_that_is_no_object_is_refused_in_awss_words(body: bytes) -> None:
    headers = Headers([("X-Amz-Target", "SageMaker.CreateModel")])
    asked = Request(EnvironBuilder(method="POST", headers=headers, data=body).get_environ())
    with pytest.raises(Refusal, match="SerializationException"):
        read_control_call(asked)
