"""Which role SageMaker gets: the one that is set, Studio's, the caller's; or words that help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from helpers.cloud.endpoints import deploy_multi_model
from helpers.cloud.images import triton_image
from helpers.cloud.role import execution_role
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError, SettingsError
from helpers.settings import Settings
from tests.cloud.faults import Faults

ACCOUNT = "123456789012"
OURS = f"arn:aws:iam::{ACCOUNT}:role/avatar-ada-execution"
NOWHERE = Path("no-such-file")


def find(session: Any, *, metadata: Path = NOWHERE, **settings: Any) -> str:
    return execution_role(session, Settings(backend="aws", **settings), ACCOUNT, metadata=metadata)


def test_the_setting_comes_first(tmp_path: Path) -> None:
    metadata = tmp_path / "resource-metadata.json"
    metadata.write_text(json.dumps({"ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/studio"}))
    nobody = None  # not asked
    assert find(nobody, metadata=metadata, role_arn=OURS) == OURS
    assert find(nobody, metadata=metadata) == f"arn:aws:iam::{ACCOUNT}:role/studio"


@pytest.mark.parametrize("text", ["", "{}", "[not json"])
def test_without_studio_the_caller_s_own_role_is_taken(
    own_cloud: Cloud, tmp_path: Path, text: str
) -> None:
    metadata = tmp_path / "resource-metadata.json"
    metadata.write_text(text)
    found = find(own_cloud.session, metadata=metadata)
    assert found == own_cloud.role_arn == f"arn:aws:iam::{ACCOUNT}:role/avatar-course-execution"


def test_the_path_of_a_role_is_found(own_cloud: Cloud) -> None:
    """The ARN of a session has none: only IAM knows it."""
    iam, sts = own_cloud.client("iam"), own_cloud.client("sts")
    role = iam.create_role(RoleName="deep", Path="/service-role/", AssumeRolePolicyDocument="{}")
    arn = role["Role"]["Arn"]
    sts.assume_role(RoleArn=arn, RoleSessionName="notebook")

    class Session:
        def client(self, name: str) -> Any:
            return own_cloud.client(name) if name == "iam" else self

        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deep/notebook"}

    assert find(Session()) == arn and ":role/service-role/deep" in arn


def test_a_user_is_told_what_to_set(own_cloud: Cloud) -> None:
    class Session:
        def client(self, _: str) -> Any:
            return self

        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": f"arn:aws:iam::{ACCOUNT}:user/ada"}

    with pytest.raises(ServiceError, match="AVATAR_ROLE_ARN"):
        find(Session())


def test_a_role_that_iam_does_not_show_is_named(own_cloud: Cloud) -> None:
    class Session:
        def client(self, name: str) -> Any:
            return own_cloud.client(name) if name == "iam" else self

        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/hidden/ada"}

    with pytest.raises(ServiceError, match=r"hidden.*AVATAR_ROLE_ARN"):
        find(Session())


def test_a_role_of_another_account_is_refused_at_once() -> None:
    with pytest.raises(ServiceError, match="another account"):
        find(None, role_arn="arn:aws:iam::111122223333:role/theirs")


@pytest.mark.parametrize("arn", ["avatar-ada-execution", "arn:aws:iam::1:role/x", f"{OURS}\n"])
def test_what_is_no_role_is_refused_as_a_setting(arn: str) -> None:
    with pytest.raises(SettingsError, match="AVATAR_ROLE_ARN"):
        Settings(role_arn=arn)


def test_on_this_machine_neither_setting_counts(own_cloud: Cloud) -> None:
    settings = Settings(role_arn="arn:aws:iam::111122223333:role/theirs", bucket="theirs")
    assert execution_role(own_cloud.session, settings, ACCOUNT) == own_cloud.role_arn


def test_the_local_caller_is_a_session_of_a_role_sagemaker_may_assume(own_cloud: Cloud) -> None:
    arn = own_cloud.client("sts").get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/avatar-course-execution/SageMaker"
    role = own_cloud.client("iam").get_role(RoleName="avatar-course-execution")["Role"]
    services = [s["Principal"]["Service"] for s in role["AssumeRolePolicyDocument"]["Statement"]]
    assert services == ["sagemaker.amazonaws.com"]
    assert isinstance(own_cloud.session, boto3.Session)


def test_a_permission_that_is_missing_can_be_looked_up(own_cloud: Cloud, faults: Faults) -> None:
    faults.refuse("sagemaker", "CreateModel", "AccessDeniedException")
    with pytest.raises(ServiceError, match=r"docs/permissions\.md"):
        deploy_multi_model(
            own_cloud, own_cloud.ledger(), name="refused", instance_type="ml.g5.xlarge",
            image=triton_image(own_cloud.account, own_cloud.region),
            model_prefix=own_cloud.uri("avatars"),
        )  # fmt: skip
