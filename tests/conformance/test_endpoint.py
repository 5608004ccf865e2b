"""The whole way of an avatar through the local SageMaker, with the clients a notebook has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.bases import BaseModel, open_base
from helpers.cloud.endpoints import deploy_multi_model, wait_in_service
from helpers.cloud.serving_image import build_serving_image
from helpers.cloud.session import Cloud
from helpers.errors import AdapterError, GenerationError, ServiceError
from helpers.hosting.client import AvatarClient
from helpers.hosting.publisher import build_avatar_archive, publish_avatar, publish_setup
from helpers.hosting.repository import build_base_repository
from helpers.tuning.adapter import pack_adapter, read_adapter
from tests.conformance.test_avatars import SMALL, difference, locally
from tests.hosting.conftest import MakeAdapter

pytestmark = pytest.mark.slow

PREFIX = "hosted-avatars"


@pytest.fixture(scope="module")
def base(pocket: Path) -> BaseModel:
    return open_base(pocket)


@pytest.fixture(scope="module")
def client(
    cloud: Cloud, pocket: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AvatarClient]:
    repository = build_base_repository(tmp_path_factory.mktemp("image") / "repository", pocket)
    made = deploy_multi_model(
        cloud,
        cloud.ledger(),
        name="painted",
        image=build_serving_image(cloud, cloud.ledger(), repository),
        model_prefix=cloud.uri(PREFIX),
        instance_type="ml.g5.xlarge",
    )
    wait_in_service(cloud, made.endpoint, timeout_s=240)
    yield AvatarClient(cloud.client("sagemaker-runtime"), made.endpoint)
    cloud.client("sagemaker").delete_endpoint(EndpointName=made.endpoint)


def published(cloud: Cloud, folder: Path, base: BaseModel, tmp_path: Path) -> str:
    staged = cloud.upload(pack_adapter(folder, tmp_path / "adapter.tar.gz"), "staging", "a.tar.gz")
    return publish_avatar(cloud.client("s3"), staged, cloud.uri(PREFIX), base=base, work=tmp_path)


def test_a_staged_adapter_becomes_an_avatar_that_paints(
    cloud: Cloud, client: AvatarClient, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    from helpers.hosting.generate import AvatarPainter

    folder = make_adapter(1)
    target = published(cloud, folder, base, tmp_path)
    painted = client.paint(target, "a photo of a dog", **SMALL)
    painter = AvatarPainter(base.folder, threads=1)
    assert difference(painted.image, locally(painter, "a photo of a dog", folder, **SMALL)) <= 2
    assert painted.info["adapter_sha256"] == read_adapter(folder).manifest.sha256
    with pytest.raises(GenerationError, match="num_inference_steps"):
        client.paint(target, "a photo of a dog", num_inference_steps=0)
    assert client.paint(target, "a photo of a dog", **SMALL).image.size == painted.image.size


def test_the_setup_target_says_which_base_is_shared(
    cloud: Cloud, client: AvatarClient, base: BaseModel, tmp_path: Path
) -> None:
    target = publish_setup(cloud.client("s3"), cloud.uri(PREFIX), work=tmp_path)
    assert client.set_up(target)["base_hash"] == base.hash


@pytest.mark.promise(
    "It is refused by publisher and server",
    fault="an adapter of another base, published and smuggled",
    outcome="`AdapterError` from both",
)
def test_an_adapter_of_another_base_is_refused_twice(
    cloud: Cloud, client: AvatarClient, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    stranger = make_adapter(4, base_hash="0" * 64)
    with pytest.raises(AdapterError, match="another base"):
        published(cloud, stranger, base, tmp_path)
    smuggled = build_avatar_archive(stranger, tmp_path / "smuggled.tar.gz")
    cloud.upload(smuggled, PREFIX, "smuggled.tar.gz")
    with pytest.raises(AdapterError, match="another base"):
        client.paint("smuggled.tar.gz", "a photo of a dog", **SMALL)


@pytest.mark.promise(
    "An unknown avatar is said so",
    fault="a target that nobody published",
    outcome="`ServiceError`",
)
def test_an_unknown_target_is_said_so(client: AvatarClient) -> None:
    with pytest.raises(ServiceError):
        client.paint("avatars/nobody.tar.gz", "a photo of a dog")


def test_an_image_without_its_packages_fails_the_endpoint_by_name(
    cloud: Cloud, pocket: Path, tmp_path: Path
) -> None:
    repository = build_base_repository(tmp_path / "repository", pocket)
    asked = repository / "avatar_base" / "1" / "requirements.txt"
    asked.write_text("diffusers==0.30.0\nxformers==0.0.29\n")
    made = deploy_multi_model(
        cloud,
        cloud.ledger(),
        name="unpacked",
        image=build_serving_image(cloud, cloud.ledger(), repository),
        model_prefix=cloud.uri(PREFIX),
        instance_type="ml.g5.xlarge",
    )
    with pytest.raises(ServiceError) as failed:
        wait_in_service(cloud, made.endpoint, timeout_s=240)
    assert "xformers is missing, wanted 0.0.29" in str(failed.value)
    cloud.client("sagemaker").delete_endpoint(EndpointName=made.endpoint)
