"""The SageMaker SDK on the local account: it reaches nothing but this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.cloud.endpoints import deploy_async
from helpers.cloud.images import djl_image
from helpers.cloud.session import Cloud
from helpers.settings import ROOT
from tests.local.conftest import model_archive

pytestmark = pytest.mark.slow
GUARDED = """
import json, socket, sys, threading, time
asked, names = set(), socket.getaddrinfo
def guarded(host, *rest, **named):
    host = host.decode() if isinstance(host, bytes) else host
    asked.add(host)
    if host not in ("127.0.0.1", "localhost"):
        raise socket.gaierror(f"{host} is not this machine")
    return names(host, *rest, **named)
socket.getaddrinfo = guarded
connect = socket.socket.connect
def connecting(self, address):
    if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
        asked.add(address[0])
        raise OSError(f"{address[0]} is not this machine")
    return connect(self, address)
socket.socket.connect = connecting

import logging
logging.disable(logging.CRITICAL)
from pathlib import Path
from helpers.cloud.sdk import sdk_session
from helpers.cloud.session import open_cloud
from helpers.settings import Settings
state, learner, stem, do = sys.argv[1:]
cloud = open_cloud(Settings(fast=True, threads=1, state=Path(state), learner=learner))
session = sdk_session(cloud)
said = {}
if do == "look":
    from sagemaker.core.resources import Endpoint, Model
    name = cloud.name(stem)
    said["account"] = session.account_id()
    said["bucket"] = session.default_bucket()
    said["upload"] = session.upload_string_as_file_body(
        "hello", bucket=session.default_bucket(), key=cloud.prefix + "/hello.txt")
    model = Model.get(model_name=name, session=cloud.session, region=cloud.region)
    said["image"] = model.primary_container.image
    endpoint = Endpoint.get(endpoint_name=name, session=cloud.session, region=cloud.region)
    began = time.monotonic()
    endpoint.wait_for_status("InService", poll=1, timeout=60)
    said["status"] = endpoint.endpoint_status
    said["seconds"] = time.monotonic() - began
if do == "trap":  # the SDK's own session on a plain boto3 one
    import boto3
    from sagemaker.core.helper.session_helper import Session
    plain = boto3.Session("AKIAEXAMPLE", "x", region_name="us-east-1")
    try:
        Session(boto_session=plain).account_id()
    except Exception as error:
        said["error"] = type(error).__name__
from sagemaker.core.telemetry.constants import Feature
from sagemaker.core.telemetry.telemetry_logging import _telemetry_emitter
class Caller:
    sagemaker_session = session
    @_telemetry_emitter(Feature.LOCAL_MODE, "course.call")
    def call(self):
        return None
Caller().call()
for thread in threading.enumerate():
    if thread.name == "sagemaker-telemetry":
        thread.join(20)
print(json.dumps({**said, "asked": sorted(asked)}))
"""


def guarded(cloud: Cloud, do: str, stem: str = "", **environment: str) -> dict[str, Any]:
    """What the SDK says in a process that refuses every address but this machine's."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SAGEMAKER_")) and not name.lower().endswith("_proxy")
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            GUARDED,
            str(cloud.settings.state),
            cloud.settings.learner,
            stem,
            do,
        ],
        cwd=ROOT,
        env={**plain, "AWS_EC2_METADATA_DISABLED": "true", **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def endpoint(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = deploy_async(
        cloud, cloud.ledger(), name="sdk", image=djl_image(cloud.region),
        model_data=model_archive(tmp_path_factory.mktemp("sdk")), instance_type="ml.g5.xlarge",
    )  # fmt: skip
    return made.endpoint


def test_session_and_resources_of_the_sdk_work_and_stay_on_this_machine(
    cloud: Cloud, endpoint: str
) -> None:
    said = guarded(cloud, "look", "sdk")
    assert said["account"] == cloud.account and said["bucket"] == cloud.bucket
    assert said["upload"] == cloud.uri("hello.txt")
    assert said["image"] == djl_image(cloud.region), "DescribeModel fits the SDK's own model of it"
    assert said["status"] == "InService" and said["seconds"] < 20
    assert set(said["asked"]) <= {"127.0.0.1", "localhost"}


def test_the_guard_sees_the_sdk_s_own_way_to_sts(cloud: Cloud) -> None:
    """What happens without ``sdk_session``: the address of STS is built in."""
    said = guarded(cloud, "trap")
    assert "sts.us-east-1.amazonaws.com" in said["asked"] and said["error"]


def test_the_guard_sees_telemetry_that_is_not_turned_off(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "on.yaml").write_text("SchemaVersion: '1.0'\n")
    said = guarded(cloud, "nothing", SAGEMAKER_USER_CONFIG_OVERRIDE=str(tmp_path / "on.yaml"))
    assert any(host.startswith("sm-pysdk") for host in said["asked"])
