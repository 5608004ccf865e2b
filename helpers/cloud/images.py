"""The container images of the course, pinned, in one table."""

from __future__ import annotations

from helpers.errors import ServiceError

DLC_ACCOUNT = "763104351884"
"""AWS's registry of Deep Learning Containers in the regions below."""

DLC_REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
    "eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1",
    "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
)  # fmt: skip

DJL = "djl-inference:0.36.0-lmi27.0.0-cu130"
TRITON_REPOSITORY = "avatar-triton"
TRITON = f"{TRITON_REPOSITORY}:26.05-py3"
"""The Triton image that the course extends by the shared base; its tag is that of its parent."""

_HOST_IMAGES = {"cu13": "al2023-ami-sagemaker-inference-gpu-4-1",
                "cu12": "al2-ami-sagemaker-inference-gpu-3-1"}  # fmt: skip


def djl_image(region: str) -> str:
    """DJL Serving's LMI image, the transport of fine-tuning behind an asynchronous endpoint."""
    return f"{_registry(DLC_ACCOUNT, _served(region))}/{DJL}"


def triton_image(account: str, region: str) -> str:
    """The learner's own image: NVIDIA Triton extended by the shared base model."""
    return f"{_registry(account, region)}/{TRITON}"


def host_image(image: str, *, gpu: bool) -> str | None:
    """The ``InferenceAmiVersion`` whose GPU driver is new enough for the image's CUDA.

    A newer CUDA on the default host fails to start and leaves no log. ``None``: the default does.
    """
    if not gpu:
        return None
    for cuda, host in _HOST_IMAGES.items():
        if cuda in image:
            return host
    return _HOST_IMAGES["cu13"] if TRITON_REPOSITORY in image else None


def _registry(account: str, region: str) -> str:
    return f"{account}.dkr.ecr.{region}.amazonaws.com"


def _served(region: str) -> str:
    if region not in DLC_REGIONS:
        raise ServiceError(
            f"the course pins no container image in {region}",
            "AWS's registry has another account there",
            f"set AVATAR_REGION to one of {', '.join(DLC_REGIONS)}",
        )
    return region
