"""The table of permissions names what the code calls: every operation, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cfnlint
import pytest
from botocore import xform_name

from helpers.cloud.iam import Need
from helpers.cloud.permissions import CALLERS, FROM_SERVICES, PERMISSIONS
from helpers.cloud.permissions_page import PAGE, page
from helpers.local.wire import service_model
from tests.infrastructure.calls import Found, operations, scan, sources

KNOWN = {row.key for row in PERMISSIONS}
REFERENCE = json.loads(
    (Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json").read_text()
)
"""IAM's reference as cfn-lint ships it: services, actions in lower case, types of resources."""


@pytest.fixture(scope="module")
def found() -> Found:
    return scan(sources(), KNOWN)


def test_every_operation_that_the_code_calls_is_in_the_table(found: Found) -> None:
    missing = [
        f'add to helpers/cloud/permissions.py: rows(LEARNER, "{service}", ("{operation}", '
        f'"<resource>", "<why>"))  # called at {", ".join(sorted(places))}'
        for (service, operation), places in sorted(found.calls.items())
        if (service, operation) not in KNOWN
    ]
    assert not missing, (
        "\n"
        + "\n".join(missing)
        + (
            "\nthen allow its actions in infrastructure/avatar-course.yaml and write the page anew "
            "with python -m helpers.cloud.permissions_page"
        )
    )


def test_every_operation_in_the_table_is_called(found: Found) -> None:
    never = sorted(KNOWN - set(found.calls))
    assert not never, f"nothing calls these: take them out of helpers/cloud/permissions.py: {never}"


def test_every_call_can_be_read(found: Found) -> None:
    assert found.unclear == []


def test_the_operations_and_their_parameters_exist() -> None:
    for row in PERMISSIONS:
        assert row.operation in operations(row.service).values(), row
        shape = service_model(row.service).operation_model(row.operation).input_shape
        for need in row.needs:
            for name in re.findall(r"\{(\w+)", need.on):
                assert name in shape.members, f"{row.operation} has no {name}"


def test_nothing_is_said_twice() -> None:
    rows = [(row.caller, *row.key) for row in PERMISSIONS]
    assert len(rows) == len(set(rows))
    assert {row.caller for row in PERMISSIONS} == set(CALLERS)


def test_the_actions_are_iam_s() -> None:
    """And where IAM knows a resource for an action, the table names one of that kind."""
    for need in {need for row in PERMISSIONS for need in row.needs}:
        kinds = kinds_of(need.action)
        assert (need.on == "*") == (kinds == []), f"{need} and IAM's resources {kinds}"
    for actions in FROM_SERVICES.values():
        for action in actions:
            kinds_of(action)


@pytest.mark.parametrize("row", PERMISSIONS, ids=lambda row: f"{row.caller}-{row.operation}")
def test_the_resources_are_of_a_kind_that_the_action_takes(row) -> None:
    for need in row.needs:
        if need.on == "*" or (need.on.startswith("{") and need.on.endswith("Arn}")):
            continue  # a whole ARN is a parameter of the request
        if need.on == "{serviceRole}":
            continue
        (arn,) = Need(action=need.action, on=re.sub(r"\{[^}]*\}", "x", need.on)).resources(
            {}, region="us-east-1", account="123456789012"
        )
        assert any(re.fullmatch(form, arn) for form in arn_forms(need.action)), arn


def kinds_of(action: str) -> list[str]:
    service, _, name = action.partition(":")
    assert name.lower() in REFERENCE[service]["Actions"], f"IAM has no {action}"
    return REFERENCE[service]["Actions"][name.lower()].get("Resources", [])


def arn_forms(action: str) -> list[str]:
    service = action.partition(":")[0]
    kinds = REFERENCE[service]["Resources"]
    forms = [form for kind in kinds_of(action) for form in kinds[kind.lower()]["ARNFormats"]]
    return [re.sub(r"\$\{\w+\}", "[^:]*", form) for form in forms]


def test_the_page_is_what_the_table_says() -> None:
    """`.venv/bin/python -m helpers.cloud.permissions_page` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()
    for row in PERMISSIONS:
        assert f"| {row.service} | {row.operation} |" in page()


def calls_of(text: str) -> set[tuple[str, str]]:
    return set(scan(iter([("test.py", text)]), KNOWN).calls)


@pytest.mark.parametrize(
    ("text", "service", "operation"),
    [
        ('cloud.client("sagemaker").describe_endpoint()', "sagemaker", "DescribeEndpoint"),
        ('x = session.client("sns")\nx.publish(Message="m")', "sns", "Publish"),
        ('a, b = cloud.client("sqs"), 1\na.send_message()', "sqs", "SendMessage"),
        ('self.bus = c.client("sns")\nself.bus.publish()', "sns", "Publish"),
        ("def f(s3): s3.get_object()", "s3", "GetObject"),
        ("self._runtime.invoke_endpoint()", "sagemaker-runtime", "InvokeEndpoint"),
        ("anything.delete_training_job()", "sagemaker", "DeleteTrainingJob"),
        ('c.client("s3").get_paginator("list_parts")', "s3", "ListParts"),
        ('c.client("s3").get_waiter("object_not_exists")', "s3", "HeadObject"),
        ('s3.upload_fileobj(f, "b", "k")', "s3", "UploadPart"),
        ('c.client("s3").copy(source, "b", "k")', "s3", "UploadPartCopy"),
        ('s3.generate_presigned_url("head_object")', "s3", "HeadObject"),
        ('x = table("sagemaker", "stop_pipeline_execution")', "sagemaker", "StopPipelineExecution"),
        ('found(c.client("ecr").batch_get_image, ids=[])', "ecr", "BatchGetImage"),
        ('c.client("athena").start_query_execution()', "athena", "StartQueryExecution"),
    ],
)
def test_a_call_is_found_however_it_is_written(text: str, service: str, operation: str) -> None:
    assert (service, operation) in calls_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "import re\nre.search('a', 'b')",
        "publish(archive)",
        "service['publish'](archive)",
        "path.read_text()",
        "import shutil\nshutil.copy(a, b)\nsettings.copy()",
        '"""Describe the endpoint with describe_endpoint."""',
    ],
)
def test_what_is_no_call_is_not_found(text: str) -> None:
    assert calls_of(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        'getattr(c.client("sagemaker"), f"delete_{kind}")()',
        'name = "delete_" + kind\ngetattr(c.client("sagemaker"), name)()',
        'name = "delete_{}".format(kind)\ngetattr(c.client("s3"), name)()',
        "x.list_tags_for_resource()",  # of ECR, of CloudWatch, of Service Quotas, …
    ],
)
def test_a_call_that_cannot_be_read_is_refused(text: str) -> None:
    assert scan(iter([("test.py", text)]), KNOWN - {("ecr", "ListTagsForResource")}).unclear


def test_method_names_are_botocore_s() -> None:
    assert operations("s3")["list_objects_v2"] == "ListObjectsV2"
    assert xform_name("ListAWSDefaultServiceQuotas") in operations("service-quotas")
