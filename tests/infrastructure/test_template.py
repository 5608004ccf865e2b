"""The template is sound, and what it makes keeps photos private and for a while only."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cfnlint import ManualArgs
from cfnlint.api import lint_file

from helpers.cloud.images import IMAGES
from helpers.settings import _LEARNER
from tests.infrastructure.stack import TEMPLATE, Stack, actions, as_list, template

FULL = {
    "Studio": "yes", "VpcId": "vpc-12345678", "SubnetIds": "subnet-12345678",
    "ContainersInVpc": "yes", "BudgetScope": "learner",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/12345678-90ab-cdef-1234-567890abcdef",
}  # fmt: skip


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack()


@pytest.fixture(scope="module", params=[{}, FULL], ids=["plain", "full"])
def either(request: pytest.FixtureRequest) -> Stack:
    return Stack(**request.param)


def every_statement(stack: Stack) -> list[tuple[str, dict[str, Any]]]:
    """All that any policy of the stack says, trust policies included, but for the bucket's."""
    found = []
    for name, properties in stack.resources.items():
        if stack.type_of(name) in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
            found += [(name, one) for one in stack.statements(name)]
        if trust := properties.get("AssumeRolePolicyDocument"):
            found += [(f"trust of {name}", one) for one in trust["Statement"]]
    return found


def lint(path: Path) -> list[str]:
    return [str(match) for match in lint_file(path, config=ManualArgs(include_checks=["I"]))]


def test_cfn_lint_finds_nothing() -> None:
    """Information included; the one exception is named with its reason in the template."""
    assert lint(TEMPLATE) == []
    assert template()["Metadata"]["cfn-lint"] == {"config": {"ignore_checks": ["W1030"]}}
    comment = TEMPLATE.read_text().partition("  cfn-lint:")[0].splitlines()[-1]
    assert "W1030" in comment


def test_cfn_lint_would_find_something(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(TEMPLATE.read_text().replace("Runtime: python3.13", "Runtime: python2.7"))
    assert lint(broken)


def test_the_bucket_is_private_encrypted_and_forgets(either: Stack) -> None:
    bucket = either.resources["Bucket"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    algorithm = rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
    assert algorithm == ("aws:kms" if either.parameters["KmsKeyArn"] else "AES256")
    assert bucket["VersioningConfiguration"] == {"Status": "Suspended"}
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert {rule["Status"] for rule in rules.values()} == {"Enabled"}
    assert rules["photos"]["Prefix"] == "avatar-course/ada/requests/"
    assert rules["photos"]["ExpirationInDays"] < rules["course"]["ExpirationInDays"]
    assert rules["course"]["Prefix"] == "avatar-course/"
    ended = rules["uploads-that-never-ended"]
    assert ended["Prefix"] == ""
    assert ended["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_nothing_reaches_the_bucket_unencrypted(stack: Stack) -> None:
    (statement,) = stack.resources["BucketPolicy"]["PolicyDocument"]["Statement"]
    bucket = f"arn:aws:s3:::{stack.resources['Bucket']['BucketName']}"
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "s3:*",
    )
    assert statement["Resource"] == [bucket, f"{bucket}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_no_action_is_a_wildcard_and_nobody_touches_iam(either: Stack) -> None:
    allowed = [one for _, one in every_statement(either) if one["Effect"] == "Allow"]
    assert len(allowed) > 30
    named = actions(allowed)
    assert {action for action in named if "*" in action or "?" in action} == set()
    assert {action for action in named if action.startswith("iam:")} == {
        "iam:PassRole",
        "iam:GetRole",
    }
    assert not any("NotAction" in one or "NotResource" in one for one in allowed)


def test_no_role_can_be_assumed_but_by_one_service(either: Stack) -> None:
    trusted = {
        name: statement["Principal"]
        for name, statement in every_statement(either)
        if name.startswith("trust of ")
    }
    services = {principal.get("Service") for principal in trusted.values()}
    assert all(set(principal) == {"Service"} for principal in trusted.values())
    assert services == {
        "sagemaker.amazonaws.com",
        "codebuild.amazonaws.com",
        "lambda.amazonaws.com",
    }


def test_one_role_can_be_passed_to_one_service(either: Stack) -> None:
    passing = [
        statement
        for _, statement in every_statement(either)
        if "iam:PassRole" in as_list(statement["Action"])
    ]
    assert all(one == passing[0] for one in passing)  # a policy, and the roles that have it
    assert passing[0] == (
        {
            "Sid": "PassTheExecutionRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": "arn:aws:iam::123456789012:role/avatar-ada--execution",
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        }
    )


@pytest.mark.parametrize("policy", ["LearnerPolicy", "ExecutionPolicy"])
def test_a_policy_fits_into_what_iam_takes(policy: str) -> None:
    """6,144 characters without white space, whatever the learner and the region are called."""
    document = json.dumps(
        Stack(**{**FULL, "Learner": "a" * 20}).resources[policy]["PolicyDocument"]
    )
    longer = document.replace("us-east-1", "ap-southeast-2")
    assert len(re.sub(r"\s", "", longer)) < 6144


def test_the_template_takes_the_learners_that_the_course_takes() -> None:
    pattern = template()["Parameters"]["Learner"]["AllowedPattern"]
    assert pattern == _LEARNER.pattern


@pytest.mark.parametrize("learner", ["a", "x" * 20, "ada-two"])
def test_names_are_valid_for_the_longest_learner_and_region(learner: str) -> None:
    stack = Stack(Learner=learner)
    bucket = stack.resources["Bucket"]["BucketName"].replace("us-east-1", "ap-southeast-2")
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket)
    for role in ("ExecutionRole", "BuildRole", "SweeperRole"):
        assert len(stack.resources[role]["RoleName"]) <= 64


def test_every_image_of_the_course_can_be_pulled(stack: Stack) -> None:
    statements = {one.get("Sid"): one for one in stack.statements("ExecutionRole")}
    pulled = {arn.rpartition("/")[2] for arn in statements["PullImages"]["Resource"]}
    wanted = {image.repository for image in IMAGES.values()}
    assert pulled == wanted | {"avatar-ada-triton"}


def test_what_is_optional_is_left_out(stack: Stack) -> None:
    types = {stack.type_of(name) for name in stack.resources}
    assert not any("SageMaker" in kind or "EC2" in kind for kind in types)
    assert "AWS::Lambda::Function" in types
    text = json.dumps(stack.resources)
    assert "kms:" not in text and "ec2:" not in text
    off = Stack(Sweeper="off")
    assert not any(name.startswith("Sweeper") for name in off.resources)


def test_a_studio_space_has_75_gb_and_the_learner_s_rights() -> None:
    stack = Stack(**FULL)
    space = stack.resources["StudioSpace"]
    volume = space["SpaceSettings"]["SpaceStorageSettings"]["EbsStorageSettings"]
    assert volume == {"EbsVolumeSizeInGb": 75}
    profile = stack.resources["StudioProfile"]
    assert profile["DomainId"] == "StudioDomain"
    assert profile["UserSettings"]["ExecutionRole"].endswith("role/avatar-ada--studio")
    assert stack.resources["StudioRole"]["ManagedPolicyArns"] == ["LearnerPolicy"]
    others = Stack(**{**FULL, "StudioDomainId": "d-abc123"})
    assert "StudioDomain" not in others.resources
    assert others.resources["StudioProfile"]["DomainId"] == "d-abc123"


@pytest.mark.parametrize(
    ("scope", "filters"),
    [("account", None), ("learner", {"TagKeyValue": ["user:avatar-owner$ada"]})],
)
def test_the_budget_mails_before_and_when_it_is_gone(scope: str, filters: Any) -> None:
    found = Stack(BudgetScope=scope).resources["Budget"]
    assert found["Budget"].get("CostFilters") == filters
    told = found["NotificationsWithSubscribers"]
    when = {
        tuple(n["Notification"][key] for key in ("NotificationType", "Threshold")) for n in told
    }
    assert when == {("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 100)}
    addresses = {one["Address"] for n in told for one in n["Subscribers"]}
    assert addresses == {"ada@example.com"}


def test_the_command_it_hands_out_is_understood(stack: Stack) -> None:
    from helpers.settings import Settings

    words = stack.outputs["Command"].split()
    given = dict(word.split("=", 1) for word in words if "=" in word)
    settings = Settings.from_environment(given)
    assert settings.backend == "aws"
    assert settings.bucket == stack.resources["Bucket"]["BucketName"]
    assert settings.role_arn.endswith(f"role/{stack.resources['ExecutionRole']['RoleName']}")
    assert words[-3:] == ["python3", "course.py", "lab"]
