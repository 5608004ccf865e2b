"""The template's function ends what has expired, and only that: run here as Lambda would run it."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from helpers.archives import pack
from helpers.cloud.costs import extend
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.permissions import PERMISSIONS, SWEEPER
from helpers.cloud.session import EXPIRY_TAG, Cloud, open_cloud
from helpers.local.launch import stop
from helpers.settings import Settings
from tests.infrastructure.calls import scan
from tests.infrastructure.stack import Stack

CODE = Stack().resources["SweeperFunction"]["Code"]["ZipFile"]
PAST = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    settings = Settings(
        fast=True, threads=1, state=tmp_path_factory.mktemp("state") / "s", learner="ada"
    )
    yield open_cloud(settings)
    stop(settings)


@pytest.fixture
def function(own: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The function's module as Lambda loads it, its settings and its session around it."""
    for name, value in Stack().resources["SweeperFunction"]["Environment"]["Variables"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", own.session)
    module: dict[str, Any] = {}
    exec(compile(CODE, "index.py", "exec"), module)
    return module


@pytest.fixture
def sweep(function: dict[str, Any]) -> Callable[[], list[str]]:
    return lambda: function["handler"]({}, None)["ended"]


@pytest.fixture
def endpoint(own: Cloud) -> Iterator[Callable[..., str]]:
    """An endpoint with the tags that are given. Its image is not there, so it costs no process:
    it is Failed at once, and is deleted as any other."""
    made: list[str] = []

    def make(name: str, **tags: str) -> str:
        sagemaker = own.client("sagemaker")
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=own.role_arn,
            PrimaryContainer={
                "Image": f"{own.account}.dkr.ecr.{own.region}.amazonaws.com/nothing:1",
                "Mode": "MultiModel",
                "ModelDataUrl": own.uri("avatars/"),
            },
        )
        variant = {
            "VariantName": "v", "ModelName": name, "InstanceType": "ml.g5.xlarge",
            "InitialInstanceCount": 1,
        }  # fmt: skip
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(
            EndpointName=name,
            EndpointConfigName=name,
            Tags=[{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()],
        )
        made.append(name)
        settled(own, name)
        return name

    yield make
    for name in made:
        if there(own, name):
            own.client("sagemaker").delete_endpoint(EndpointName=name)
        gone(own, name)
        own.client("sagemaker").delete_endpoint_config(EndpointConfigName=name)
        own.client("sagemaker").delete_model(ModelName=name)


def there(cloud: Cloud, name: str) -> bool:
    listed = cloud.client("sagemaker").list_endpoints(NameContains=name)["Endpoints"]
    return any(one["EndpointName"] == name for one in listed)


def gone(cloud: Cloud, name: str) -> bool:
    waiter = cloud.client("sagemaker").get_waiter("endpoint_deleted")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    return not there(cloud, name)


def settled(cloud: Cloud, name: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = cloud.client("sagemaker").describe_endpoint(EndpointName=name)
        if found["EndpointStatus"] == "Failed":
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} is not Failed")


def ours(expires: str, **change: str) -> dict[str, str]:
    return {
        "avatar_course": "personalised-avatars", "avatar_owner": "ada", "avatar_expires": expires,
        **change,
    }  # fmt: skip


def test_it_is_small_enough_to_be_written_into_a_template() -> None:
    assert len(CODE.encode()) <= 4096
    assert ast.parse(CODE)


def test_it_calls_what_its_role_may() -> None:
    called = set(scan(iter([("index.py", CODE)]), {row.key for row in PERMISSIONS}).calls)
    assert called == {row.key for row in PERMISSIONS if row.caller == SWEEPER}


def test_an_endpoint_of_the_course_is_ended_once_its_time_is_over(
    own: Cloud, sweep: Callable[[], list[str]], tmp_path: Path
) -> None:
    """Deployed as a notebook deploys it, with the expiry that it is given there."""
    model = {
        "model.py": b"def handle(inputs): return None\n",
        "serving.properties": b"engine=Python\n",
    }
    deployment = deploy_async(
        own, own.ledger(), name="forgotten", image=djl_image(own.region),
        model_data=pack(model, tmp_path / "model.tar.gz"), instance_type="ml.g5.xlarge",
    )  # fmt: skip
    wait_in_service(own, "forgotten", timeout_s=60)
    assert sweep() == []
    arn = own.client("sagemaker").describe_endpoint(EndpointName=deployment.endpoint)["EndpointArn"]
    over = {"Key": EXPIRY_TAG, "Value": PAST}
    own.client("sagemaker").add_tags(ResourceArn=arn, Tags=[over])
    extend(own, "forgotten", 1)
    assert sweep() == [], "somebody asked for more time"
    own.client("sagemaker").add_tags(ResourceArn=arn, Tags=[over])
    assert sweep() == [deployment.endpoint]
    assert gone(own, deployment.endpoint)


@pytest.mark.parametrize(
    "tags",
    [
        # Called in the test: what is collected now may run an hour later.
        lambda: ours((datetime.now(UTC) + timedelta(minutes=5)).isoformat(timespec="seconds")),
        lambda: ours((datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")),
        lambda: ours(PAST, avatar_owner="bob"),
        lambda: ours(PAST, avatar_owner="ada-two"),
        lambda: ours(PAST, avatar_course="another"),
        lambda: {"avatar_course": "personalised-avatars", "avatar_owner": "ada"},
        dict,
    ],
    ids=[
        "five-minutes-left",
        "an-hour-left",
        "bobs",
        "ada-twos",
        "another-course",
        "endless",
        "no-tags",
    ],
)
def test_it_leaves_what_has_time_or_is_not_ours(
    own: Cloud,
    sweep: Callable[[], list[str]],
    endpoint: Callable[..., str],
    tags: Callable[[], dict[str, str]],
) -> None:
    name = endpoint("avatar-ada--kept", **tags())
    assert sweep() == []
    assert there(own, name)


@pytest.mark.parametrize("expires", [PAST, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00",
                                     "2026-11-01T23:59:59-08:00"])  # fmt: skip
def test_every_way_to_write_the_past_is_read(
    own: Cloud, sweep: Callable[[], list[str]], endpoint: Callable[..., str], expires: str
) -> None:
    name = endpoint("avatar-ada--over", **ours(expires))
    assert sweep() == [name]
    assert gone(own, name)


def test_one_it_cannot_read_does_not_keep_the_others_and_is_not_passed_over(
    own: Cloud, sweep: Callable[[], list[str]], endpoint: Callable[..., str]
) -> None:
    odd = endpoint("avatar-ada--aa-odd", **ours("tomorrow"))
    over = endpoint("avatar-ada--zz-over", **ours(PAST))
    with pytest.raises(RuntimeError, match="tomorrow"):
        sweep()
    assert gone(own, over) and there(own, odd)


def test_what_the_index_of_tags_still_names_but_is_gone_is_no_trouble(
    function: dict[str, Any], sweep: Callable[[], list[str]]
) -> None:
    """AWS's index lags behind by minutes; the local one does not, so it is put in its place."""
    function["tagged"] = lambda: iter([("avatar-ada--gone", PAST)])
    assert sweep() == []
