"""The fine-tuning endpoint with a base from the bucket: code and base side by side in S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.archives import read_members
from helpers.bases import BaseModel
from helpers.bases.fetch import fetch_base
from helpers.bases.folder import MANIFEST
from helpers.bases.store import upload_base
from helpers.cloud import jobs
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud
from helpers.errors import BaseModelError, ConfigError
from helpers.photos.archive import pack_request
from helpers.photos.photo import Photo
from helpers.s3 import split_uri
from helpers.tuning.adapter import check_base, unpack_adapter
from helpers.tuning.package import package_training_service, stage_training_service

SHORT: dict[str, Any] = {"n_steps": 2, "batch_size": 1, "num_class_images": 1, "lora_r": 2}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")


@pytest.fixture(scope="module")
def base_uri(cloud: Cloud, ledger: Ledger, tiny: BaseModel) -> str:
    return upload_base(cloud, ledger, tiny.folder).uri


@pytest.fixture(scope="module")
def staged(cloud: Cloud, ledger: Ledger, base_uri: str) -> str:
    return stage_training_service(
        cloud, ledger, base_uri=base_uri, staging_s3_uri=cloud.uri("staged")
    )


def _objects(cloud: Cloud, uri: str) -> dict[str, bytes]:
    bucket, prefix = split_uri(uri)
    s3 = cloud.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
    bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    return {key.removeprefix(prefix): body for key, body in zip(keys, bodies, strict=True)}


def test_the_prefix_holds_what_the_archive_holds(
    cloud: Cloud, staged: str, tiny: BaseModel, tmp_path: Path
) -> None:
    archive = package_training_service(
        tmp_path / "m.tar.gz", base_folder=tiny.folder, staging_s3_uri=cloud.uri("staged")
    )
    packed = read_members(archive.read_bytes(), limit_bytes=1024**3, limit_members=1000)
    assert _objects(cloud, staged) == packed
    # Never at the root, nor named there: that would start the language model configuration.
    assert f"base/{MANIFEST}" in packed
    assert "model_index.json" not in packed and "config.json" not in packed
    assert b"model_id" not in packed["serving.properties"]


def test_it_is_named_by_what_is_in_it_and_stands_in_the_ledger(
    cloud: Cloud, ledger: Ledger, base_uri: str, staged: str
) -> None:
    again = stage_training_service(
        cloud, ledger, base_uri=base_uri, staging_s3_uri=cloud.uri("staged")
    )
    other = stage_training_service(
        cloud, ledger, base_uri=base_uri, staging_s3_uri=cloud.uri("elsewhere")
    )
    assert again == staged != other
    assert {("s3-prefix", staged), ("s3-prefix", other), ("s3-prefix", base_uri)} <= {
        (entry.kind, entry.name) for entry in ledger.open()
    }


def test_without_a_whole_base_nothing_is_staged(cloud: Cloud, ledger: Ledger) -> None:
    before = ledger.open()
    with pytest.raises(BaseModelError, match="no whole base"):
        stage_training_service(
            cloud, ledger, base_uri=cloud.uri("bases", "none"), staging_s3_uri="s3://bucket/x"
        )
    with pytest.raises(ConfigError, match="staging_s3_uri"):
        stage_training_service(cloud, ledger, base_uri="s3://b/x", staging_s3_uri="bucket/x")
    assert ledger.open() == before


@pytest.mark.slow
def test_an_endpoint_fine_tunes_the_base_of_the_bucket(
    cloud: Cloud,
    ledger: Ledger,
    staged: str,
    base_uri: str,
    photos: list[Image.Image],
    tmp_path: Path,
) -> None:
    deployment = deploy_async(
        cloud, ledger, name="staged-tuning", image=djl_image(cloud.region), model_data=staged,
        instance_type="ml.g5.xlarge",
    )  # fmt: skip
    try:
        wait_in_service(cloud, deployment.endpoint)
        taken = [Photo(name=f"p{n}.jpg", image=image) for n, image in enumerate(photos)]
        request = pack_request(taken, tmp_path / "request.tar.gz", SHORT)
        job = jobs.submit(cloud, deployment.endpoint, request, timeout_s=300)
        for _ in jobs.follow(cloud, job, every_s=0.2):
            pass
        bucket, key = split_uri(jobs.result(cloud, job)["adapter"])
    finally:
        cloud.client("sagemaker").delete_endpoint(EndpointName=deployment.endpoint)
    data = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    # What serves it takes the same base from the same place.
    served = fetch_base(cloud.client("s3"), base_uri, tmp_path / "served")
    check_base(unpack_adapter(data, tmp_path / "adapter"), served)
