"""The course's container images in one table: pinned, and what each of them carries.

Registry accounts and regions come from the SageMaker SDK's own tables, read as files: importing the
SDK takes seconds, in every process that deploys. That ``image_uris.retrieve`` answers the same, in
every region, is a test. No image was pulled: what no public source said is called "not inspected".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, reduce
from importlib.metadata import distribution
from operator import getitem
from pathlib import Path

from helpers.errors import ServiceError
from helpers.tables import Table

UNKNOWN = "not inspected"
HOSTS = {
    "12": "al2-ami-sagemaker-inference-gpu-3-1",
    "13": "al2023-ami-sagemaker-inference-gpu-4-1",
}
"""``InferenceAmiVersion`` by CUDA major version: drivers 550 (CUDA 12.4) and 580 (CUDA 13.0), says
the API reference. A driver runs every CUDA of its major version, and older ones."""
TURING_AND_LATER = ("g4dn", "g5", "g6", "g6e", "p4d", "p4de", "p5", "p5e", "p5en")
MULTI_MODEL_FAMILIES = ("p2", "p3", "g4dn", "g5")
"""GPU families that AWS lists for multi-model endpoints (its developer guide, read 2026-11-21)."""
TRITON_REPOSITORY = "avatar-triton"
_TABLES = "sagemaker/core/image_uri_config"
_OWN_TRITON = re.compile(r"avatar-([a-z0-9-]+-)?triton")


@dataclass(frozen=True, kw_only=True)
class ContainerImage:
    """One image of AWS's registry, as the course uses it.

    ``listed``    where the SDK lists the image's registries: a file of its tables, and keys in it
    ``carries``   versions inside, by package; ``UNKNOWN`` where no public source says
    ``families``  instance families with a GPU that it runs on; a CPU instance always may
    ``patched``   until when AWS patches it, in words
    ``source``    where ``carries``, ``families`` and ``patched`` were read
    """

    use: str
    repository: str
    tag: str
    listed: tuple[str, ...]
    cuda: str
    carries: Mapping[str, str]
    families: tuple[str, ...]
    patched: str
    why: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"

    @property
    def host(self) -> str:
        """The ``InferenceAmiVersion`` whose driver is new enough for this image's CUDA."""
        return HOSTS[self.cuda.split(".")[0]]

    def uri(self, region: str) -> str:
        """The image in AWS's registry of ``region``. Raises ``ServiceError``."""
        account = _registries(self.listed).get(region)
        if account is None:
            raise ServiceError(
                f"AWS offers no image for {self.use} in {region}",
                "the SageMaker SDK's table does not list the region",
                "set AVATAR_REGION to one that it lists, such as us-east-1 or eu-west-1",
            )
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"{account}.dkr.ecr.{region}.{suffix}/{self.name}"


IMAGES = {
    image.use: image
    for image in (
        ContainerImage(
            use="fine-tuning",
            repository="djl-inference",
            tag="0.36.0-lmi27.0.0-cu130",
            listed=("djl-lmi", "versions", "0.36.0"),
            cuda="13.0",
            carries={
                "python": "3.12", "torch": UNKNOWN, "transformers": UNKNOWN,
                "diffusers": "none declared", "peft": UNKNOWN, "numpy": UNKNOWN,
            },
            families=TURING_AND_LATER,
            patched=UNKNOWN,
            why="An image for language models, used as transport: DJL Serving brings the queue, "
            "the time-outs and the restart of a dead worker. We bring diffusers, and keep its "
            "torch. 0.36 is the release whose Python contract the local host was compared with.",
            source="djl-serving's lmi.Dockerfile, release 0.36; its packages were not looked at",
        ),
        ContainerImage(
            use="training",
            repository="pytorch",
            tag="2.12-cu130-amzn2023-sagemaker",
            listed=("pytorch-amzn2023", "training", "versions", "2.12"),
            cuda="13.0",
            carries={
                "python": "3.12", "torch": "2.12.1", "transformers": UNKNOWN, "diffusers": UNKNOWN,
                "peft": UNKNOWN, "numpy": UNKNOWN,
            },
            families=TURING_AND_LATER,
            patched="until mid 2027 (from memory, 2026-11)",
            why="The plain PyTorch image: the training library comes from our requirements, and no "
            "serving stack comes along.",
            source="aws/deep-learning-containers, its build configuration of 2.12, read 2026-11-21",
        ),
        ContainerImage(
            use="real-time",
            repository="huggingface-pytorch-inference",
            tag="2.6.0-transformers5.5.3-gpu-py312-cu124-ubuntu22.04",
            listed=("huggingface", "inference", "versions", "5.5.3", "pytorch2.6.0"),
            cuda="12.4",
            carries={
                "python": "3.12", "torch": "2.6.0", "transformers": "5.5.3", "diffusers": "0.38.0",
                "peft": "0.18.1", "accelerate": "1.12.0", "numpy": UNKNOWN,
            },
            families=("p3", *TURING_AND_LATER),
            patched="until 2026-06-30: legacy",
            why="The only current image that still calls model_fn and predict_fn. For a product, "
            "use Triton.",
            source="aws/deep-learning-containers, its Dockerfile and its support policy, "
            "read 2026-11",
        ),
        ContainerImage(
            use="avatars",
            repository="sagemaker-tritonserver",
            tag="26.05-py3",
            listed=("sagemaker-tritonserver", "versions", "26.05"),
            cuda="13",
            carries={
                "python": "3.12 (from memory)", "torch": UNKNOWN, "transformers": UNKNOWN,
                "diffusers": UNKNOWN, "peft": UNKNOWN, "numpy": UNKNOWN,
            },
            families=("g4dn", "g5"),
            patched=UNKNOWN,
            why="The only image that AWS takes for a multi-model endpoint on a GPU. The course "
            "extends it by the shared base; p2 and p3, which such endpoints also take, are too old "
            "for its CUDA 13.",
            source="NVIDIA's release notes (compute capability 7.5 and later) and AWS's developer "
            "guide, read 2026-11-21; its packages were not looked at",
        ),
    )
}  # fmt: skip


def djl_image(region: str) -> str:
    """DJL Serving's LMI image, the transport of fine-tuning behind an asynchronous endpoint."""
    return IMAGES["fine-tuning"].uri(region)


def training_image(region: str) -> str:
    """The image of a training job."""
    return IMAGES["training"].uri(region)


def real_time_image(region: str) -> str:
    """The Hugging Face inference image behind the real-time endpoint."""
    return IMAGES["real-time"].uri(region)


def triton_parent(region: str) -> str:
    """AWS's Triton image, which the serving image extends by the shared base."""
    return IMAGES["avatars"].uri(region)


def triton_image(account: str, region: str) -> str:
    """An image of one's own in ``account``: Triton extended by the shared base model.

    Its tag is that of its parent. ``helpers.cloud.serving_image`` builds the learner's.
    """
    return f"{account}.dkr.ecr.{region}.amazonaws.com/{TRITON_REPOSITORY}:{IMAGES['avatars'].tag}"


def container_of(image: str) -> ContainerImage | None:
    """The table's entry for an image, ours included; ``None`` for a stranger's."""
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    if _OWN_TRITON.fullmatch(repository):
        return IMAGES["avatars"]
    return next((known for known in IMAGES.values() if known.repository == repository), None)


def host_image(image: str, *, gpu: bool) -> str | None:
    """The ``InferenceAmiVersion`` for an image; ``None``: the default host serves.

    A newer CUDA than the host's driver knows fails to start, and leaves no log at all.
    """
    known = container_of(image) if gpu else None
    return known.host if known else None


def require_family(image: str, instance_type: str, *, gpu: bool) -> None:
    """Refuse a GPU that the image cannot use, before it costs anything. Raises ``ServiceError``."""
    known, family = container_of(image), instance_type.removeprefix("ml.").partition(".")[0]
    if gpu and known and family not in known.families:
        raise ServiceError(
            f"{instance_type} cannot run the image of {known.use}",
            f"{known.name} (CUDA {known.cuda}) runs on {', '.join(known.families)}",
            "choose an instance type of one of these families",
        )


def image_table() -> Table:
    """The table for reading; every version is of what lies in the image, not of what we add."""
    return Table(
        head=("use", "image", "carries", "GPU instances", "host image", "patched"),
        rows=[
            (
                image.use,
                image.name,
                _carried(image),
                ", ".join(image.families),
                image.host,
                image.patched,
            )
            for image in IMAGES.values()
        ],
        notes=[f"{image.use}: {image.why} (Read in {image.source}.)" for image in IMAGES.values()],
    )


def _carried(image: ContainerImage) -> str:
    unknown = [name for name, version in image.carries.items() if version == UNKNOWN]
    known = [f"{name} {image.carries[name]}" for name in image.carries if name not in unknown]
    words = [f"CUDA {image.cuda}", *known]
    return "; ".join([", ".join(words), *([f"{UNKNOWN}: {', '.join(unknown)}"] if unknown else [])])


@cache
def _registries(listed: tuple[str, ...]) -> Mapping[str, str]:
    """Registry accounts by region."""
    name, *keys = listed
    found = distribution("sagemaker-core").locate_file(f"{_TABLES}/{name}.json")
    try:
        table = json.loads(Path(str(found)).read_text(encoding="utf-8"))
        return reduce(getitem, [*keys, "registries"], table)
    except (OSError, KeyError) as trouble:
        raise ServiceError(
            f"the SageMaker SDK's table of images has no {' / '.join(listed)}",
            "the installed SDK is not the one that the course was written for",
            "install the pinned one: run `python3 course.py test` once",
        ) from trouble
