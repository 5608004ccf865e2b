"""The table of container images against the SageMaker SDK's tables and botocore's enums."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from boto3.session import Session

from helpers.cloud.images import (
    HOSTS,
    IMAGES,
    MULTI_MODEL_FAMILIES,
    TURING_AND_LATER,
    container_of,
    djl_image,
    host_image,
    image_table,
    real_time_image,
    require_family,
    training_image,
    triton_image,
    triton_parent,
)
from helpers.errors import ServiceError
from helpers.local.wire import service_model
from helpers.settings import ROOT

URIS = {
    "fine-tuning": djl_image,
    "training": training_image,
    "real-time": real_time_image,
    "avatars": triton_parent,
}


_GPU = {"instance_type": "ml.g5.xlarge"}  # the SDK chooses between CPU and GPU images by it
ASKED = {
    "fine-tuning": {"framework": "djl-lmi", "version": "0.36.0"},
    "training": {"framework": "pytorch-amzn2023", "version": "2.12", "image_scope": "training",
                 **_GPU},
    "real-time": {"framework": "huggingface", "version": "5.5.3", "image_scope": "inference",
                  "base_framework_version": "pytorch2.6.0", "py_version": "py312", **_GPU},
    "avatars": {"framework": "sagemaker-tritonserver", "version": "26.05",
                "image_scope": "inference", **_GPU},
}  # fmt: skip


def told_by_the_sdk(use: str, region: str) -> str | None:
    from sagemaker.core import image_uris

    try:
        return image_uris.retrieve(region=region, **ASKED[use])
    except ValueError:
        return None


def ours(use: str, region: str) -> str | None:
    try:
        return URIS[use](region)
    except ServiceError:
        return None


def test_the_sdk_names_the_pinned_images_in_every_region_where_it_has_them() -> None:
    session, offered = Session(), set()
    partitions = session.get_available_partitions()
    regions = {region for partition in partitions
               for region in session.get_available_regions("sagemaker", partition)}  # fmt: skip
    for region in sorted(regions):
        if region.startswith(("us-iso", "eu-iso", "eusc-")):
            continue  # closed partitions: nobody takes a course there
        for use in URIS:
            assert ours(use, region) == told_by_the_sdk(use, region)
        if all(ours(use, region) for use in URIS):
            offered.add(region)
    assert {"us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-south-1"} <= offered


def test_an_image_is_known_again_by_its_uri() -> None:
    for use, look_up in URIS.items():
        assert container_of(look_up("eu-west-1")) is IMAGES[use]


def test_a_region_without_the_images_is_refused_with_advice() -> None:
    with pytest.raises(ServiceError, match="AVATAR_REGION"):
        djl_image("mars-north-1")


def test_another_sdk_is_noticed() -> None:
    other = replace(IMAGES["avatars"], listed=("sagemaker-tritonserver", "versions", "99.99"))
    with pytest.raises(ServiceError, match=r"99\.99.*pinned one"):
        other.uri("us-east-1")


def test_no_tag_may_move() -> None:
    for image in IMAGES.values():
        assert any(character.isdigit() for character in image.tag) and "latest" not in image.tag
        assert image.why and image.source and image.patched
        assert {"python", "torch", "transformers", "diffusers", "peft", "numpy"} <= set(
            image.carries
        )


def test_every_image_gets_a_host_that_sagemaker_knows_and_whose_driver_fits() -> None:
    known = service_model("sagemaker").shape_for("ProductionVariantInferenceAmiVersion").enum
    assert set(HOSTS.values()) <= set(known)
    newest = {
        "al2-ami-sagemaker-inference-gpu-3-1": 12,
        "al2023-ami-sagemaker-inference-gpu-4-1": 13,
    }
    for use, look_up in URIS.items():
        image = look_up("us-east-1")
        host = host_image(image, gpu=True)
        assert host and newest[host] == int(IMAGES[use].cuda.split(".")[0])
        assert host_image(image, gpu=False) is None
    assert host_image("someone/else:1", gpu=True) is None


@pytest.mark.parametrize(
    "image",
    [
        triton_image("123456789012", "us-east-1"),
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/avatar-ada-triton@sha256:" + "0" * 64,
    ],
)
def test_our_own_triton_image_has_its_parents_needs(image: str) -> None:
    assert container_of(image) is IMAGES["avatars"]
    assert host_image(image, gpu=True) == IMAGES["avatars"].host


def test_the_gpu_families_follow_from_cuda_and_from_multi_model_endpoints() -> None:
    exist = service_model("sagemaker").shape_for("ProductionVariantInstanceType").enum
    families = {name.split(".")[1] for name in exist}
    for image in IMAGES.values():
        assert set(image.families) <= families
        if image.cuda.startswith("13"):
            assert not {"p2", "p3"} & set(image.families), "CUDA 13 has no Volta and no Kepler"
    assert set(IMAGES["avatars"].families) == set(MULTI_MODEL_FAMILIES) & set(TURING_AND_LATER)


def test_a_gpu_that_an_image_cannot_use_is_refused_before_it_costs() -> None:
    avatars = triton_image("123456789012", "us-east-1")
    with pytest.raises(ServiceError, match=r"ml\.g6\.xlarge cannot run.*g4dn, g5"):
        require_family(avatars, "ml.g6.xlarge", gpu=True)
    require_family(avatars, "ml.g5.2xlarge", gpu=True)
    require_family(avatars, "ml.m5.xlarge", gpu=False)
    require_family("someone/else:1", "ml.p3.2xlarge", gpu=True)
    require_family(real_time_image("us-east-1"), "ml.p3.2xlarge", gpu=True)


def test_the_table_shows_every_image_with_its_reason() -> None:
    table = image_table()
    assert [row[0] for row in table.rows] == list(IMAGES)
    for image in IMAGES.values():
        assert image.name in str(table) and image.host in str(table) and image.why in str(table)
    training = next(row for row in table.rows if row[0] == "training")
    assert "torch 2.12.1" in training[2]
    assert training[2].endswith("not inspected: transformers, diffusers, peft, numpy")


def test_naming_an_image_costs_no_import_of_the_sdk() -> None:
    code = """if True:
        import sys
        from helpers.cloud.images import djl_image
        djl_image("us-east-1")
        sys.exit("sagemaker.core" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
