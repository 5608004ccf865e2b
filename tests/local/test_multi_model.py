"""A multi-model endpoint through the whole service: image, S3 prefix, targets, its model server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from helpers.archives import pack
from helpers.cloud.endpoints import deploy_multi_model, wait_in_service
from helpers.cloud.environment import SHARED_MEMORY
from helpers.cloud.images import TRITON_REPOSITORY, triton_image, triton_parent
from helpers.cloud.ledger import Ledger
from helpers.cloud.logs import serving_engine
from helpers.cloud.session import Cloud, open_cloud
from helpers.errors import ServiceError
from helpers.local import images
from helpers.local.context import Context
from helpers.local.control_plane import ControlPlane
from helpers.local.data_plane import DataPlane
from helpers.local.guard import Guard, shared_memory
from helpers.local.launch import find
from helpers.local.triton_host import MAX_MODELS, most_models
from helpers.local.wire import Call, Refusal
from helpers.settings import ROOT, Settings
from tests.conformance.conftest import make_avatar
from tests.local.processes import ended

ECHO = Path(__file__).parents[1] / "conformance" / "echo_base" / "model.py"
PREFIX = "mme"


def deploy(cloud: Cloud, folder: Path, **environment: str) -> str:
    """A multi-model endpoint with two avatars over a shared base that answers in no time."""
    version = folder / "repository" / "avatar_base" / "1"
    version.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "avatar_base" / "config.pbtxt", version.parent)
    shutil.copy(ECHO, version)
    images.register(cloud.settings, repository=TRITON_REPOSITORY, folder=folder / "repository")
    for name in ("one", "two"):
        archive = pack(make_avatar(folder / name), folder / f"{name}.tar.gz")
        cloud.upload(archive, PREFIX, f"{name}.tar.gz")
    made = deploy_multi_model(
        cloud,
        cloud.ledger(),
        name="many",
        image=triton_image(cloud.account, cloud.region),
        model_prefix=cloud.uri(PREFIX),
        instance_type="ml.g5.xlarge",
        environment=environment,
    )
    wait_in_service(cloud, made.endpoint, timeout_s=120)
    return made.endpoint


@pytest.fixture(scope="module")
def endpoint(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = deploy(cloud, tmp_path_factory.mktemp("mme"), SAGEMAKER_LOCAL_MAX_MODELS="1")
    yield made
    cloud.client("sagemaker").delete_endpoint(EndpointName=made)


def paint(cloud: Cloud, endpoint: str, **more: str) -> dict[str, Any]:
    asked = {
        "inputs": [
            {"name": "prompt", "shape": [1, 1], "datatype": "BYTES", "data": ["a photo of a dog"]}
        ]
    }
    answer = cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, Body=json.dumps(asked).encode(), **more
    )
    return json.loads(answer["Body"].read())


def test_targets_are_loaded_evicted_and_loaded_again(cloud: Cloud, endpoint: str) -> None:
    for target in ("one.tar.gz", "two.tar.gz", "one.tar.gz"):
        answer = paint(cloud, endpoint, TargetModel=target)
        assert [output["name"] for output in answer["outputs"]] == ["generated_image"]


def test_a_new_target_needs_no_new_endpoint(cloud: Cloud, endpoint: str, tmp_path: Path) -> None:
    archive = pack(make_avatar(tmp_path / "three"), tmp_path / "three.tar.gz")
    cloud.upload(archive, PREFIX, "ada", "three.tar.gz")
    assert paint(cloud, endpoint, TargetModel="ada/three.tar.gz")["outputs"]


@pytest.mark.promise(
    "A wrong `TargetModel` is refused in AWS's words",
    fault="no target, one that is not there, one that climbs, one that a shell would read",
    outcome="`ValidationError`; the next picture is painted",
)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "is a multi-model endpoint"),
        ({"TargetModel": "nobody.tar.gz"}, "Failed to download model data(bucket: sagemaker-"),
        ({"TargetModel": "../models/x.tar.gz"}, "Failed to download model data"),
        ({"TargetModel": "One;Two.tar.gz"}, "Failed to download model data"),
    ],
)
def test_a_missing_or_unknown_target_is_a_validation_error(
    cloud: Cloud, endpoint: str, more: dict[str, str], said: str
) -> None:
    with pytest.raises(ClientError) as refused:
        paint(cloud, endpoint, **more)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert said in refused.value.response["Error"]["Message"]
    assert paint(cloud, endpoint, TargetModel="one.tar.gz"), "the next request is served"


@pytest.mark.promise(
    "What is no avatar is refused",
    fault="a target that is no archive",
    outcome="`ModelError`",
)
def test_what_is_no_avatar_is_a_model_error(cloud: Cloud, endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no archive")
    cloud.upload(tmp_path / "broken", PREFIX, "broken.tar.gz")
    with pytest.raises(ClientError) as refused:
        paint(cloud, endpoint, TargetModel="broken.tar.gz")
    assert refused.value.response["Error"]["Code"] == "ModelError"


def test_the_server_states_its_engine(cloud: Cloud, endpoint: str) -> None:
    engine = serving_engine(cloud, endpoint)
    assert engine and engine["version"]
    if os.environ.get("CI", "").lower() == "true":
        assert engine["name"] == "triton"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (triton_parent("us-east-1"), "Triton finds no model repository at /opt/avatar/repository"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/avatar-nobody-triton:1", "build it with"),
    ],
)
def test_an_image_without_a_base_cannot_serve(
    cloud: Cloud, ledger: Ledger, image: str, said: str
) -> None:
    name = f"no-base-{len(said)}"
    deploy_multi_model(
        cloud, ledger, name=name, image=image, model_prefix=cloud.uri(PREFIX),
        instance_type="ml.g5.xlarge",
    )  # fmt: skip
    with pytest.raises(ServiceError, match=said):
        wait_in_service(cloud, name)
    cloud.client("sagemaker").delete_endpoint(EndpointName=cloud.name(name))


def container(cloud: Cloud, **more: Any) -> dict[str, Any]:
    return {
        "Image": triton_image(cloud.account, cloud.region), "Mode": "MultiModel",
        "ModelDataUrl": cloud.uri(PREFIX) + "/", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ModelDataUrl": None}, "cannot be used with a multi-model endpoint"),
        ({"Environment": {"LONG": "é" * 600}}, "1,024 bytes, it has 1,200"),
        ({"Environment": {f"V{n:02}": "x" * 1000 for n in range(40)}}, "32,768 bytes"),
    ],
)
def test_what_a_multi_model_container_may_not_have(
    cloud: Cloud, more: dict[str, Any], said: str
) -> None:
    asked = container(cloud, **more)
    if asked["ModelDataUrl"] is None:
        del asked["ModelDataUrl"]
        source = {
            "S3Uri": cloud.uri(PREFIX) + "/", "S3DataType": "S3Prefix", "CompressionType": "None"
        }  # fmt: skip
        asked["ModelDataSource"] = {"S3DataSource": source}
    with pytest.raises(ClientError, match=said):
        cloud.client("sagemaker").create_model(
            ModelName="refused", PrimaryContainer=asked, ExecutionRoleArn=cloud.role_arn
        )


def test_a_gpu_of_another_family_is_refused(cloud: Cloud, ledger: Ledger) -> None:
    """By our own words before the call, and by the service if somebody calls it himself."""
    with pytest.raises(ServiceError, match="g4dn, g5"):
        deploy_multi_model(
            cloud, ledger, name="too-new", image=triton_image(cloud.account, cloud.region),
            model_prefix=cloud.uri(PREFIX), instance_type="ml.g6.xlarge",
        )  # fmt: skip
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_model(
        ModelName="too-new", PrimaryContainer=container(cloud), ExecutionRoleArn=cloud.role_arn
    )
    variant = {"VariantName": "a", "ModelName": "too-new", "InstanceType": "ml.g6.xlarge",
               "InitialInstanceCount": 1}  # fmt: skip
    with pytest.raises(ClientError, match="not supported for multi-model endpoints"):
        sagemaker.create_endpoint_config(EndpointConfigName="too-new", ProductionVariants=[variant])
    sagemaker.delete_model(ModelName="too-new")


SLOW = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        time.sleep(4)
    def execute(self, requests):
        told = pb_utils.Tensor("generated_image", np.array([[b"late"]], dtype=object))
        return [pb_utils.InferenceResponse([told]) for _ in requests]
"""


def test_a_target_that_loads_for_too_long_is_not_ready_and_comes_later(
    cloud: Cloud, endpoint: str, tmp_path: Path
) -> None:
    """Sixty seconds on AWS; the planes run in this process, with one second."""
    slow = make_avatar(tmp_path / "slow")
    (slow / "sd_lora" / "1" / "model.py").write_text(SLOW)
    cloud.upload(pack(slow, tmp_path / "slow.tar.gz"), PREFIX, "slow.tar.gz")
    context = in_process(cloud, tmp_path)
    control = ControlPlane(context)
    container = cloud.client("sagemaker").describe_model(ModelName=endpoint)["PrimaryContainer"]
    variant = {"VariantName": "a", "ModelName": "slow", "InitialInstanceCount": 1,
               "InstanceType": "ml.g5.xlarge"}  # fmt: skip
    model = {"PrimaryContainer": container, "ExecutionRoleArn": cloud.role_arn}
    body = json.dumps({"inputs": [
        {"name": "prompt", "shape": [1, 1], "datatype": "BYTES", "data": ["a dog"]}
    ]}).encode()  # fmt: skip
    asked = Call(
        operation="InvokeEndpoint", payload=body,
        parameters={"EndpointName": "slow", "TargetModel": "slow.tar.gz"},
    )  # fmt: skip
    try:
        for operation, parameters in {
            "CreateModel": {"ModelName": "slow", **model},
            "CreateEndpointConfig": {"EndpointConfigName": "slow", "ProductionVariants": [variant]},
            "CreateEndpoint": {"EndpointName": "slow", "EndpointConfigName": "slow"},
        }.items():
            control.answer(Call(operation=operation, parameters=parameters))
        while control.endpoints.get("slow").status == "Creating":
            time.sleep(0.05)
        plane = DataPlane(context, control, sync_timeout_s=1)
        with pytest.raises(Refusal) as refused:
            plane.answer(asked)
        assert (refused.value.code, refused.value.status) == ("ModelNotReadyException", 429)
        time.sleep(5)
        assert plane.answer(asked).status_code == 200, "it went on loading, as AWS does"
    finally:
        control.stop()
        context.guard.close()


def in_process(cloud: Cloud, folder: Path) -> Context:
    """The service's own parts in this process, over the S3 of the running one."""
    service = find(cloud.settings)
    assert service
    return Context(
        url=service.url, access_key=service.access_key, secret_key=service.secret_key,
        region=service.region, work=folder / "work", logs=folder / "logs",
        state=cloud.settings.state, threads=1, settle=0, guard=Guard(folder / "work"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "most"),
    [
        ({}, 3),
        ({SHARED_MEMORY: "1048576"}, 8),
        ({SHARED_MEMORY: "1048576", MAX_MODELS: "500"}, 63),
        ({SHARED_MEMORY: "1048576", MAX_MODELS: "2"}, 2),
        ({SHARED_MEMORY: "67108864"}, 1),
    ],
)
def test_shared_memory_limits_how_many_avatars_are_loaded(
    environment: dict[str, str], most: int
) -> None:
    """64 MB hold four models at the image's own 16 MB, the base among them."""
    assert most_models(environment) == most


@pytest.mark.promise(
    "No model server outlives the service",
    fault="SIGTERM and kill -9 of the service",
    outcome="Triton, its stubs and its shared memory are gone",
)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_model_server_outlives_the_service(
    settings: Settings, tmp_path: Path, how: signal.Signals
) -> None:
    own = open_cloud(settings)
    paint(own, deploy(own, tmp_path / "mme"), TargetModel="one.tar.gz")
    service = find(settings)
    assert service
    servers = [
        process.pid
        for process in psutil.Process(service.pid).children(recursive=True)
        if "guard.py" not in " ".join(process.cmdline())
    ]
    assert servers
    memory = {region for pid in servers for region in shared_memory(pid)}
    os.kill(service.pid, how)
    assert all(ended(pid, within_s=20) for pid in servers)
    until = time.monotonic() + 5
    while (left := leftovers(memory)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left, "its shared memory is freed"


def leftovers(regions: set[str]) -> list[Path]:
    return [file for region in regions for file in Path("/dev/shm").glob(f"{region}*")]
