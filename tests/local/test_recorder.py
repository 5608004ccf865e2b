"""Requests are seen before they are sent, and refused as AWS would refuse them, in every service.

moto takes what its handlers happen to read; so most of these calls would succeed without us.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.session import Cloud
from helpers.local.constraints import _compiled, violations
from helpers.local.recorder import SentRequest, append_to, read_requests, record
from helpers.local.wire import service_model

SERVICES = (
    "codebuild", "cloudwatch", "ecr", "iam", "logs", "pricing", "resourcegroupstaggingapi", "s3",
    "sagemaker", "sagemaker-runtime", "service-quotas", "sns", "sqs", "sts",
)  # fmt: skip


def nobody(service: str, **config: Any) -> Any:
    """A client whose address leads nowhere."""
    session = boto3.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
    config = {"connect_timeout": 1, "retries": {"total_max_attempts": 1}, **config}
    return session.client(service, endpoint_url="http://127.0.0.1:9", config=Config(**config))


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code", "said"),
    [
        ("sns", "create_topic", {"Name": "t", "Tags": [{"Key": "k" * 129, "Value": "v"}]},
         "InvalidParameter", "length less than or equal to 128"),
        ("logs", "create_log_group", {"logGroupName": "with space"},
         "InvalidParameterException", "regular expression"),
        ("iam", "create_role", {"RoleName": "a/b", "AssumeRolePolicyDocument": "{}"},
         "ValidationError", "regular expression"),
        ("ecr", "create_repository", {"repositoryName": "UPPER"},
         "InvalidParameterException", "regular expression"),
        ("codebuild", "create_project",
         {"name": "project", "source": {"type": "S3"}, "artifacts": {"type": "NO_ARTIFACTS"},
          "environment": {"type": "LINUX_CONTAINER", "image": "i", "computeType": "HUGE"},
          "serviceRole": "r"},
         "InvalidInputException", "enum value set"),
        ("service-quotas", "get_service_quota", {"ServiceCode": "a b", "QuotaCode": "L-1"},
         "IllegalArgumentException", "regular expression"),
        ("s3", "put_object", {"Bucket": "b", "Key": "k", "StorageClass": "ATTIC"},
         "ValidationError", "enum value set"),
        ("sagemaker", "create_model",
         {"ModelName": "m", "Tags": [{"Key": "a#b", "Value": "v"}]},
         "ValidationException", "regular expression"),
    ],
)  # fmt: skip
def test_what_aws_would_refuse_never_leaves(
    cloud: Cloud, service: str, operation: str, parameters: dict, code: str, said: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(cloud.client(service), operation)(**parameters)
    error = refused.value.response["Error"]
    assert error["Code"] == code
    assert error["Message"].startswith(("1 validation error detected: ", "2 validation errors"))
    assert said in error["Message"]


def test_what_botocore_finds_itself_stays_its_own(cloud: Cloud) -> None:
    with pytest.raises(ParamValidationError, match="Missing required parameter"):
        cloud.client("sqs").create_queue()


def test_errors_can_be_caught_by_their_class(cloud: Cloud) -> None:
    logs = cloud.client("logs")
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.delete_log_group(logGroupName="with space")


def test_a_client_of_any_session_can_be_watched(tmp_path: Path) -> None:
    client, path, photo = nobody("s3"), tmp_path / "requests.jsonl", tmp_path / "photo.jpg"
    photo.write_bytes(b"a face")
    record(client.meta.events, append_to(path))
    with pytest.raises(Exception, match="Could not connect"):
        client.upload_file(str(photo), "bucket", "photo")
    with pytest.raises(Exception, match="Could not connect"):
        client.list_objects_v2(Bucket="bucket", Prefix="p/", MaxKeys=1)
    put, listed = read_requests(path)
    assert (put.service, put.operation, put.faults) == ("s3", "PutObject", ())
    assert put.parameters["Body"] == "<ReadFileChunk>" and "a face" not in path.read_text()
    assert listed.parameters["Prefix"] == "p/"


def test_without_refusal_a_fault_is_written_down_and_sent() -> None:
    client, seen = nobody("logs"), []
    record(client.meta.events, seen.append)
    with pytest.raises(Exception, match="Could not connect"):
        client.create_log_group(logGroupName="with space")
    assert [request.operation for request in seen] == ["CreateLogGroup"]
    assert "logGroupName" in seen[0].faults[0]


def test_also_what_parameter_validation_was_switched_off_for() -> None:
    client, seen = nobody("sagemaker", parameter_validation=False), []
    record(client.meta.events, seen.append, refuse=True)
    with pytest.raises(ClientError, match="Missing required parameter"):
        client.describe_endpoint()
    assert len(seen) == 1


@given(
    parameters=st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3)
        ),
        max_size=4,
    )
)
def test_a_written_request_reads_the_same(parameters: dict) -> None:
    request = SentRequest(service="s3", operation="PutObject", parameters=parameters, faults=("x",))
    assert SentRequest.from_json(request.to_json()) == request


def test_the_services_patterns_are_understood() -> None:
    """A pattern that Python cannot read checks nothing; these two are broken in Java as well."""
    unread = {
        name
        for service in SERVICES
        for name in service_model(service).shape_names
        if (pattern := service_model(service).shape_for(name).metadata.get("pattern"))
        and _compiled(pattern) is None
    }
    assert unread == {"CustomerMetadataKey", "CustomerMetadataValue"}


def test_the_course_s_services_exist() -> None:
    assert set(SERVICES) <= set(Loader().list_available_services("service-2"))


@pytest.mark.parametrize(("value", "fits"), [
    ("Ada Lovelace", True), ("Zoë-1", True), ("2026-11-21T18:00:00Z", True), ("李 小龙", True),
    ("a#b", False), ("50%", False), ("a,b", False), ("(x)", False), ("x" * 257, False),
])  # fmt: skip
def test_tags_take_letters_of_every_script_and_few_signs(value: str, fits: bool) -> None:
    shape = service_model("sagemaker").operation_model("AddTags").input_shape
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"
    found = violations({"ResourceArn": arn, "Tags": [{"Key": "k", "Value": value}]}, shape)
    assert (found == []) is fits
