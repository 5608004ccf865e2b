"""A container host: what stands in for the container that SageMaker would run for a model.

Which one follows from the image, as it would on AWS: ``djl-inference`` runs a DJL handler,
``huggingface-pytorch-inference`` runs ``code/inference.py``; an image that this machine has
registered (``helpers.local.images``) runs Triton as a multi-model host.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from helpers.cloud.images import IMAGES
from helpers.local.container_log import ContainerLog
from helpers.local.context import Context


class HostError(Exception):
    """The container cannot start, and why."""


class ModelDataError(HostError):
    """Its model data cannot be downloaded or unpacked; the words are AWS's own."""


class ImageError(HostError):
    """Its image is not there."""


class InvocationTimeout(Exception):
    """The container did not answer in time. It goes on working: nobody tells it to stop."""


class UnknownTarget(Exception):
    """A multi-model host finds no archive of the target's key."""


class TargetNotReady(Exception):
    """A multi-model host still loads the target; it goes on, so ask again."""


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One request as a container receives it."""

    body: bytes
    content_type: str = "application/octet-stream"
    accept: str = ""
    custom_attributes: str = ""
    inference_id: str = ""
    target_model: str = ""

    def headers(self) -> dict[str, str]:
        named = {
            "Content-Type": self.content_type,
            "Accept": self.accept,
            "X-Amzn-SageMaker-Custom-Attributes": self.custom_attributes,
            "X-Amzn-SageMaker-Inference-Id": self.inference_id,
            "X-Amzn-SageMaker-Target-Model": self.target_model,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a container answered: HTTP status, body, and the body's type."""

    status: int
    body: bytes
    content_type: str = "application/json"

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Host(Protocol):
    """The life of a container."""

    def start(self) -> None:
        """Return when the container answers pings. Raises ``HostError``."""

    def invoke(self, invocation: Invocation, timeout_s: float) -> Answer:
        """One request and its answer.

        Raises ``InvocationTimeout``, and as a multi-model host ``UnknownTarget`` and
        ``TargetNotReady``.
        """
        ...

    def stop(self) -> None:
        """End the container's processes and remove its files. Never raises."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What a host is given: its model, a folder of its own, its log."""

    context: Context
    model: dict[str, Any]
    """The ``PrimaryContainer`` of the model."""
    folder: Path
    log: ContainerLog

    @property
    def environment(self) -> dict[str, str]:
        return self.model.get("Environment", {})


def repository_of(image: str) -> str:
    """``registry/team/name:tag`` or ``…@sha256:…`` as ``name``."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def is_multi_model(model: dict[str, Any]) -> bool:
    return model.get("Mode") == "MultiModel"


def choose_host(placement: Placement) -> Host:
    """The host for this model's image. Raises ``HostError`` when this machine has none."""
    from helpers.local import djl_host, images, toolkit_host, triton_host

    image = placement.model.get("Image", "")
    repository = repository_of(image)
    one_model = {
        "djl-inference": djl_host.DjlHost,
        "huggingface-pytorch-inference": toolkit_host.ToolkitHost,
    }
    if repository in one_model:
        if is_multi_model(placement.model):
            raise HostError(f"The local host of {repository} serves one model per endpoint.")
        return one_model[repository](placement)
    files = images.find(placement.context.state, image)
    if files is None and repository != IMAGES["avatars"].repository:
        raise ImageError(
            f"The repository of the image {image} does not exist on this machine: "
            "build it with helpers.cloud.serving_image.build_serving_image."
        )
    if not is_multi_model(placement.model):
        raise HostError("The local Triton host needs a model with Mode=MultiModel.")
    return triton_host.TritonHost(placement, files or {})
