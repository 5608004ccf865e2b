"""The notebooks on the ``aws`` backend: every request is one that AWS would take, and allow."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from helpers.settings import ROOT
from tests.aws.rehearsal import Account, cells, play

REHEARSED = re.compile(r"(00|01|09)_")
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").glob("*.ipynb") if REHEARSED.match(path.name)
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asks_aws_for_what_aws_takes_and_allows(account: Account, path: Path) -> None:
    played = play(account, nbformat.read(path, as_version=4))
    assert {(one.service, one.operation) for one in played.requests} >= {
        ("sts", "GetCallerIdentity"), ("s3", "ListObjectsV2"),
    }  # fmt: skip
    assert played.faults() == []
    assert played.refusals(account.stack, account.service) == []
    assert played.escapes == []


OPEN = "from helpers.cloud.session import open_cloud\ncloud = open_cloud()"


def survived(code: str) -> str:
    """A cell that goes on whatever happens, so that only the record can tell."""
    return f"try:\n    {code}\nexcept Exception as trouble:\n    print(trouble)"


def test_the_aws_backend_finds_bucket_and_role(account: Account) -> None:
    """Those of the stack; and the caller's own role, where no stack of ours is."""
    stack = account.stack.outputs
    played = play(
        account,
        cells(
            OPEN,
            f"assert not cloud.local and cloud.bucket == {stack['BucketName']!r}",
            f"assert cloud.role_arn == {stack['ExecutionRoleArn']!r}",
            "import os\ndel os.environ['AVATAR_ROLE_ARN']",
            OPEN,
            "assert cloud.role_arn.endswith(':role/avatar-course-execution'), cloud.role_arn",
        ),
    )
    opened = ["GetCallerIdentity", "ListObjectsV2"]
    found = ["GetCallerIdentity", "GetCallerIdentity", "GetRole", "ListObjectsV2"]
    assert [one.operation for one in played.requests] == opened + found
    assert played.refusals(account.stack, account.service) == [
        "iam.GetRole: iam:GetRole on arn:aws:iam::123456789012:role/avatar-course-execution"
    ], "the stack's learner may look at the stack's role alone"


INVALID = {
    "cloud.client('logs').delete_log_group(logGroupName='with space')": "regular expression",
    "cloud.client('sns').create_topic(Name='t', Tags=[{'Key': 'k' * 129, 'Value': 'v'}])": "128",
    "cloud.client('sagemaker').describe_endpoint(EndpointName='under_score')": "endpointName",
    "__import__('boto3').client('sqs', region_name='us-east-1').create_queue()": "Missing required",
}


def test_an_invalid_request_is_noticed(account: Account) -> None:
    """Also one that the cell survives, that moto takes without a word, or of another session."""
    played = play(account, cells(OPEN, *map(survived, INVALID)))
    for fault, said in zip(played.faults(), INVALID.values(), strict=True):
        assert said in fault


REFUSED = {
    "cloud.client('s3').list_buckets()": "ListBuckets",
    "cloud.client('s3').head_bucket(Bucket=cloud.bucket)": "HeadBucket",
    "cloud.client('s3').list_objects_v2(Bucket=cloud.bucket)": "ListObjectsV2",
    "cloud.client('s3').put_object(Bucket=cloud.bucket, Key='elsewhere', Body=b'')": "PutObject",
    "cloud.client('sns').create_topic(Name='avatar-somebody--t')": "CreateTopic",
    "cloud.client('sagemaker').create_model(ModelName=cloud.name('m'), "
    "ExecutionRoleArn=cloud.role_arn, Tags=cloud.tags[:1])": "CreateModel",
    "cloud.client('iam').create_role(RoleName='r', AssumeRolePolicyDocument='{}')": "CreateRole",
}


def test_a_request_that_the_policy_refuses_is_noticed(account: Account) -> None:
    played = play(account, cells(OPEN, *map(survived, REFUSED)))
    assert played.faults() == []
    refused = played.refusals(account.stack, account.service)
    assert [one.partition(":")[0].partition(".")[2] for one in dict.fromkeys(refused)] == [
        operation
        for operation in REFUSED.values()
        for _ in range(2 if operation == "CreateTopic" else 1)  # and its tags
    ]


def test_nothing_gets_out_and_trying_is_noticed(account: Account) -> None:
    knock = "__import__('urllib.request').request.urlopen('http://192.0.2.1/', timeout=1)"
    ask = "__import__('socket').getaddrinfo('sts.amazonaws.com', 443)"
    played = play(account, cells(survived(knock), survived(ask)))
    assert played.escapes == [
        "socket.getaddrinfo 192.0.2.1",
        "socket.getaddrinfo sts.amazonaws.com",
    ]


def test_a_cell_that_fails_fails_the_rehearsal(account: Account) -> None:
    with pytest.raises(CellExecutionError, match="on purpose"):
        play(account, cells(OPEN, "raise ValueError('on purpose')"))
