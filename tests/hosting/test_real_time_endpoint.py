"""The first image, end to end: archive, endpoint, pictures, limits, deletion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from helpers.archives import pack, read_members
from helpers.cloud.deployment import Deployment
from helpers.cloud.endpoints import delete_deployment, deploy_real_time, wait_in_service
from helpers.cloud.images import real_time_image
from helpers.cloud.logs import read_logs
from helpers.cloud.session import Cloud
from helpers.errors import GenerationError, ServiceError
from helpers.hosting.real_time_client import RealTimeClient
from helpers.hosting.real_time_package import package_real_time

pytestmark = pytest.mark.slow
FAST = {"num_inference_steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def archive(small_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "model.tar.gz"
    return package_real_time(path, base_folder=small_base)


def deploy(cloud: Cloud, name: str, archive: Path) -> Deployment:
    deployment = deploy_real_time(
        cloud,
        cloud.ledger(),
        name=name,
        image=real_time_image(cloud.region),
        model_data=archive,
        instance_type="ml.g4dn.xlarge",
    )
    wait_in_service(cloud, name, timeout_s=120)
    return deployment


@pytest.fixture(scope="module")
def deployment(cloud: Cloud, archive: Path) -> Iterator[Deployment]:
    made = deploy(cloud, "first-image", archive)
    yield made
    delete_deployment(cloud, cloud.ledger(), made)


@pytest.fixture
def client(cloud: Cloud, deployment: Deployment) -> RealTimeClient:
    return RealTimeClient(cloud.client("sagemaker-runtime"), deployment.endpoint)


def test_prompts_become_pictures(client: RealTimeClient) -> None:
    got = client.paint(["a dog", "a cat"], num_images_per_prompt=2, **FAST)
    assert [(one.info["prompt"], one.info["seed"]) for one in got] == [
        ("a dog", 3), ("a dog", 4), ("a cat", 3), ("a cat", 4)
    ]  # fmt: skip
    again = client.paint("a dog", **FAST)[0]
    assert again.image.tobytes() == got[0].image.tobytes()


def test_a_mistake_comes_back_as_words(client: RealTimeClient) -> None:
    with pytest.raises(GenerationError, match=r"^width cannot be used. It is a whole number"):
        client.paint("a dog", width=65)
    with pytest.raises(GenerationError, match="a key that is not known"):
        client.paint("a dog", steps=5)


def test_too_much_for_a_minute_is_refused_at_once(client: RealTimeClient) -> None:
    with pytest.raises(GenerationError, match="The request would take about"):
        client.paint(
            "a dog", num_images_per_prompt=32, num_inference_steps=100, width=128, height=128
        )


def test_too_long_a_request_never_reaches_the_container(client: RealTimeClient) -> None:
    with pytest.raises(ServiceError, match="exceeded 6291456 bytes"):
        client.paint("a dog " * 1_100_000)


def test_the_log_says_what_was_measured(cloud: Cloud, deployment: Deployment) -> None:
    lines = [str(line) for line in read_logs(cloud, deployment.endpoint)]
    assert any("start-up check passed" in line for line in lines)
    assert any("pictures x steps x pixels" in line for line in lines)


def test_the_container_is_told_what_its_server_reads(cloud: Cloud, deployment: Deployment) -> None:
    model = cloud.client("sagemaker").describe_model(ModelName=deployment.model)
    told = model["PrimaryContainer"]["Environment"]
    assert told["SAGEMAKER_MODEL_SERVER_WORKERS"] == "1"
    assert int(told["MMS_MAX_RESPONSE_SIZE"]) > 6_291_456
    assert "SAGEMAKER_MODEL_SERVER_TIMEOUT" not in told, "it would count minutes"
    config = cloud.client("sagemaker").describe_endpoint_config(
        EndpointConfigName=deployment.config
    )
    (variant,) = config["ProductionVariants"]
    assert variant["InferenceAmiVersion"].startswith("al2-ami"), "CUDA 12"


def test_a_base_that_cannot_be_loaded_fails_the_endpoint_with_words(
    cloud: Cloud, archive: Path, tmp_path: Path
) -> None:
    members: dict[str, Path | bytes] = dict(read_members(archive, limit_bytes=1024**3))
    del members["unet/diffusion_pytorch_model.safetensors"]
    broken = pack(members, tmp_path / "broken.tar.gz")
    with pytest.raises(ServiceError, match=r"is Failed.*BaseModelError.*unet"):
        deploy(cloud, "first-broken", broken)


def test_deleting_leaves_nothing_that_costs(cloud: Cloud, archive: Path) -> None:
    ledger, sagemaker = cloud.ledger(), cloud.client("sagemaker")
    made = deploy(cloud, "first-deleted", archive)
    delete_deployment(cloud, ledger, made)
    for look in (
        lambda: sagemaker.describe_endpoint(EndpointName=made.endpoint),
        lambda: sagemaker.describe_endpoint_config(EndpointConfigName=made.config),
        lambda: sagemaker.describe_model(ModelName=made.model),
    ):
        with pytest.raises(ClientError, match="Could not find"):
            look()
    kinds = {entry.kind for entry in ledger.open() if entry.name == made.endpoint}
    assert not kinds & {"endpoint", "endpoint-config", "model"}
    delete_deployment(cloud, ledger, made)
