"""Each policy allows what its bearer calls, on the learner's own things, and nothing else.

The statements are read by a small evaluator of ours (``iam.py``), not by AWS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.cloud.iam import Permission
from helpers.cloud.permissions import (
    CONTAINER,
    FROM_SERVICES,
    LEARNER,
    PERMISSIONS,
    SWEEPER,
)
from helpers.cloud.permissions import actions as needed
from tests.infrastructure.iam import allows
from tests.infrastructure.stack import ACCOUNT, REGION, Stack, actions, as_list
from tests.infrastructure.test_permissions import kinds_of
from tests.infrastructure.test_template import FULL

ADA = Stack(Learner="ada")
WORK, EXECUTE = ADA.statements("LearnerPolicy"), ADA.statements("ExecutionRole")
SWEEP, BUILD = ADA.statements("SweeperRole"), ADA.statements("BuildRole")
BUCKET = f"arn:aws:s3:::avatar-ada-{ACCOUNT}-{REGION}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/avatar-ada--execution"
TAGS = {
    "aws:RequestTag/avatar-owner": "ada",
    "aws:RequestTag/avatar-expires": "2026-11-21T18:00:00+00:00",
    "iam:PassedToService": "sagemaker.amazonaws.com",
}
BUILDING = {
    "s3:GetObject", "s3:GetObjectVersion",  # the build context
    "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",  # docker pull of the parent, and of layers that are there
    "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage",
    "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents",  # the build's output
}  # fmt: skip
"""What CodeBuild and docker need; no code of ours calls AWS in a build but for the two logins."""
NOT_NARROWED = {
    "ecr:DescribeRepositories": "a listing: IAM checks it against every repository",
    "cloudwatch:DescribeAlarms": "a listing: IAM checks it against every alarm",
    "cloudwatch:PutMetricData": "narrowed by the metrics' namespace instead",
    "ec2:CreateNetworkInterface": "SageMaker's documentation asks for it on everything",
    "ec2:CreateNetworkInterfacePermission": "as above",
    "ec2:DeleteNetworkInterface": "as above",
    "ec2:DeleteNetworkInterfacePermission": "as above",
}
"""Actions on ``*`` that IAM could narrow to a resource, and why they are not."""


@pytest.mark.parametrize("given", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize(
    ("policy", "caller"),
    [("LearnerPolicy", LEARNER), ("ExecutionPolicy", CONTAINER), ("SweeperRole", SWEEPER)],
)
def test_a_policy_allows_what_is_called_and_what_services_need(
    policy: str, caller: str, given: dict
) -> None:
    """To the action. What only comes with a key or a VPC is there with those alone."""
    stack = Stack(**given)
    extra = () if given else ("kms:", "ec2:")
    from_services = {name for name in FROM_SERVICES[caller] if not name.startswith(extra)}
    assert actions(stack.statements(policy)) == needed(caller) | from_services


def test_the_build_may_build() -> None:
    assert actions(BUILD) == BUILDING


@pytest.mark.parametrize("given", [{}, FULL], ids=["plain", "full"])
def test_everything_is_meant_only_where_iam_cannot_narrow_it(given: dict) -> None:
    stack = Stack(**given)
    wide = {
        action
        for name in stack.resources
        if stack.type_of(name) in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
        for statement in stack.statements(name)
        for action in as_list(statement["Action"])
        if "*" in as_list(statement["Resource"])
    }
    assert {action for action in wide if kinds_of(action)} <= set(NOT_NARROWED)


def test_every_action_of_the_template_is_iam_s() -> None:
    stack = Stack(**FULL)
    for name in stack.resources:
        if stack.type_of(name) in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
            for action in actions(stack.statements(name)):
                kinds_of(action)


def of(learner: str) -> dict[str, Any]:
    """Values for the parameters of every operation, in the names that the course gives."""
    full, bucket = f"avatar-{learner}--thing", f"avatar-{learner}-{ACCOUNT}-{REGION}"
    arn = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}"
    return {
        "Bucket": bucket, "Key": f"avatar-course/{learner}/requests/x.tar.gz",
        "CopySource": f"{bucket}/avatar-course/{learner}/base/unet/config.json",
        "Delete": {"Objects": [{"Key": f"avatar-course/{learner}/avatars/y.tar.gz"}]},
        "Prefix": f"avatar-course/{learner}/",
        "RoleName": f"avatar-{learner}--execution",
        "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/avatar-{learner}--execution",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/avatar-{learner}--execution",
        "ModelName": full, "EndpointConfigName": full, "EndpointName": full,
        "TrainingJobName": full, "Name": full, "QueueName": full, "AlarmNames": [full],
        "AlarmName": full,
        "QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{full}",
        "ResourceArn": arn.format("sagemaker", f"endpoint/{full}"),
        "TopicArn": arn.format("sns", full), "SubscriptionArn": arn.format("sns", f"{full}:1-2"),
        "logGroupName": f"/aws/sagemaker/Endpoints/{full}", "logStreamName": f"{full}/algo-1",
        "projectName": f"avatar-{learner}--serving-image",
        "names": [f"avatar-{learner}--serving-image"],
        "ids": [f"avatar-{learner}--serving-image:1-2"], "id": f"avatar-{learner}--serving-image:1",
        "repositoryName": f"avatar-{learner}-triton",
        "resourceArn": arn.format("ecr", f"repository/avatar-{learner}-triton"),
        "ServiceCode": "sagemaker", "QuotaCode": "L-12345678",
    }  # fmt: skip


SHARED_LOGS = {"DescribeLogStreams", "DeleteLogStream", "GetLogEvents"}


def needs(row: Permission, learner: str) -> Iterator[tuple[str, str]]:
    """Actions and ARNs of the operation when ``learner`` calls it."""
    asked = of(learner)
    if row.operation in SHARED_LOGS:
        asked["logGroupName"] = "/aws/sagemaker/TrainingJobs"
    for need in row.needs:
        for arn in need.resources(asked, region=REGION, account=ACCOUNT):
            yield need.action, arn


def context(learner: str) -> dict[str, str]:
    return {
        **TAGS,
        "s3:prefix": f"avatar-course/{learner}/",
        "aws:RequestTag/avatar-owner": learner,
    }


LEARNERS = [row for row in PERMISSIONS if row.caller == LEARNER]
NOBODYS = {"RequestServiceQuotaIncrease", "ListRequestedServiceQuotaChangeHistoryByQuota",
           "DeleteScalingPolicy", "DeregisterScalableTarget", "DescribeLogStreams",
           "DescribeRepositories", "DescribeAlarms", "RegisterScalableTarget",
           "PutScalingPolicy"}  # fmt: skip
"""Their resources carry no learner's name: quotas, AWS's ids, one log group for all, listings."""


@pytest.mark.parametrize("row", LEARNERS, ids=lambda row: f"{row.service}-{row.operation}")
def test_a_learner_may_do_it_to_their_own_and_to_nobody_else_s(row: Permission) -> None:
    own = list(needs(row, "ada"))
    assert own
    for action, arn in own:
        assert allows(WORK, action, arn, context("ada")), f"{action} on {arn}"
    if row.operation in NOBODYS or all(arn == "*" for _, arn in own):
        return
    for other in ("bob", "ad", "ada-two"):
        theirs = [allows(WORK, action, arn, context(other)) for action, arn in needs(row, other)]
        assert not any(theirs), f"{row.operation} of {other}"


@given(other=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True))
def test_no_name_is_near_enough(other: str) -> None:
    assume("--" not in other and other != "ada")
    for row in LEARNERS:
        if row.operation not in NOBODYS:
            for action, arn in needs(row, other):
                assert arn == "*" or not allows(WORK, action, arn, context(other)), arn


@given(other=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True))
def test_a_container_reads_nobody_else_s_photos(other: str) -> None:
    assume("--" not in other and other != "ada")
    for bucket in (f"avatar-{other}-{ACCOUNT}-{REGION}", BUCKET.rpartition(":")[2]):
        photo = f"arn:aws:s3:::{bucket}/avatar-course/{other}/requests/faces.tar.gz"
        assert not allows(EXECUTE, "s3:GetObject", photo)


@pytest.mark.parametrize(
    ("key", "reads", "writes"),
    [
        ("staging/job/adapter.tar.gz", True, True),
        ("async/tuning/output/1.out", True, True),
        ("avatars/person-1.tar.gz", True, False),
        ("models/tuning.tar.gz", True, False),
        ("requests/photos.tar.gz", True, False),
        ("serving-image/context.zip", True, False),
    ],
)
def test_a_container_writes_adapters_and_answers_and_no_code(
    key: str, reads: bool, writes: bool
) -> None:
    """Who writes an avatar's archive, or what an image is built from, runs code for others."""
    arn = f"{BUCKET}/avatar-course/ada/{key}"
    assert allows(EXECUTE, "s3:GetObject", arn) is reads
    assert allows(EXECUTE, "s3:PutObject", arn) is writes
    assert not allows(EXECUTE, "s3:DeleteObject", arn)
    assert allows(WORK, "s3:PutObject", arn)


def test_a_container_cannot_do_what_the_learner_can() -> None:
    for action in needed(LEARNER) - needed(CONTAINER) - set(FROM_SERVICES[CONTAINER]):
        arns = [arn for row in LEARNERS for name, arn in needs(row, "ada") if name == action]
        assert not any(allows(EXECUTE, action, arn, context("ada")) for arn in arns), action


@pytest.mark.parametrize(
    ("role", "service"),
    [
        (ROLE, "lambda.amazonaws.com"),
        (ROLE, "ec2.amazonaws.com"),
        (f"arn:aws:iam::{ACCOUNT}:role/Admin", "sagemaker.amazonaws.com"),
        (f"arn:aws:iam::{ACCOUNT}:role/avatar-ada--build", "codebuild.amazonaws.com"),
        (f"arn:aws:iam::{ACCOUNT}:role/avatar-bob--execution", "sagemaker.amazonaws.com"),
    ],
)
def test_no_other_role_and_no_other_service(role: str, service: str) -> None:
    assert not allows(WORK, "iam:PassRole", role, {"iam:PassedToService": service})
    assert allows(WORK, "iam:PassRole", ROLE, TAGS)


@pytest.mark.parametrize("missing", ["avatar-owner", "avatar-expires"])
def test_no_endpoint_without_an_owner_and_an_end(missing: str) -> None:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/avatar-ada--tuning"
    told = {key: value for key, value in TAGS.items() if not key.endswith(missing)}
    assert allows(WORK, "sagemaker:CreateEndpoint", arn, TAGS)
    assert not allows(WORK, "sagemaker:CreateEndpoint", arn, told)
    assert not allows(
        WORK, "sagemaker:CreateEndpoint", arn, {**TAGS, "aws:RequestTag/avatar-owner": "bob"}
    )


def test_only_the_own_prefix_can_be_listed() -> None:
    for prefix, seen in (
        ("avatar-course/ada/", True), ("avatar-course/ada/avatars/", True),
        ("avatar-course/", False), ("avatar-course/ada-two/", False), ("", False),
    ):  # fmt: skip
        for statements in (WORK, EXECUTE):
            assert allows(statements, "s3:ListBucket", BUCKET, {"s3:prefix": prefix}) is seen, (
                prefix
            )
    assert not allows(WORK, "s3:ListBucket", BUCKET), "as HeadBucket asks, without a prefix"


TAGGED = {
    "aws:ResourceTag/avatar-course": "personalised-avatars",
    "aws:ResourceTag/avatar-owner": "ada",
    "aws:ResourceTag/avatar-expires": "2026-11-21T18:00:00+00:00",
}


def test_the_sweeper_ends_what_carries_all_three_tags() -> None:
    own = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/avatar-ada--tuning"
    assert allows(SWEEP, "sagemaker:DeleteEndpoint", own, TAGGED)
    for missing in TAGGED:
        told = {key: value for key, value in TAGGED.items() if key != missing}
        assert not allows(SWEEP, "sagemaker:DeleteEndpoint", own, told)
    theirs = own.replace("ada--", "ada-two--")
    assert not allows(SWEEP, "sagemaker:DeleteEndpoint", theirs, TAGGED)
    assert not allows(
        SWEEP, "sagemaker:DeleteEndpoint", own, {**TAGGED, "aws:ResourceTag/avatar-owner": "bob"}
    )


def test_a_build_reads_its_context_and_pushes_to_one_repository() -> None:
    repository = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/avatar-ada-triton"
    assert allows(BUILD, "ecr:PutImage", repository)
    assert not allows(BUILD, "ecr:PutImage", repository.replace("ada", "bob"))
    parent = f"arn:aws:ecr:{REGION}:111122223333:repository/sagemaker-tritonserver"
    assert allows(BUILD, "ecr:BatchGetImage", parent)
    assert not allows(BUILD, "ecr:PutImage", parent)
    assert allows(BUILD, "s3:GetObject", f"{BUCKET}/avatar-course/ada/serving-image/x.zip")
    assert not allows(BUILD, "s3:GetObject", f"{BUCKET}/avatar-course/ada/requests/faces.tar.gz")


def test_the_evaluator_knows_allow_from_deny() -> None:
    """Without this, every 'not allowed' above could be an evaluator that allows nothing."""
    yes = {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "arn:aws:s3:::b/a?c/*"}
    no = {**yes, "Effect": "Deny", "Resource": "*", "Condition": {"Bool": {"k": "false"}}}
    assert allows([yes], "s3:GetObject", "arn:aws:s3:::b/abc/d/e")
    assert not allows([yes], "s3:GetObject", "arn:aws:s3:::b/ac/d")
    assert not allows([yes], "s3:PutObject", "arn:aws:s3:::b/abc/d")
    for value in ("true", "false"):
        found = allows([yes, no], "s3:GetObject", "arn:aws:s3:::b/abc/d", {"k": value})
        assert found is (value == "true")
    odd = {**yes, "Condition": {"IpAddress": {"k": "1"}}}
    with pytest.raises(AssertionError, match="operator"):
        allows([odd], "s3:GetObject", "arn:aws:s3:::b/abc/d", {"k": "1"})
