"""What the course runs on AWS, notebook by notebook: quotas and the whole estimate follow from it.

Hours are a plan with room for reading, not a measurement: nothing of this ran on AWS.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

PLANNED = "planned 2026-11, not measured"
TOTAL_QUOTA = "Number of instances across active endpoints"

QUOTA_USES = {
    "hosting": "endpoint usage",
    "training": "training job usage",
    "notebook": "notebook instance usage",
}
"""How the names of quotas call each use of an instance."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """Instances that a notebook keeps for ``hours``.

    ``image``       key of ``images.IMAGES``, whose families can run it; empty: any
    ``gpu_memory``  GiB of one GPU that it needs; 0: no GPU
    ``multi_model`` whether it is a multi-model endpoint, which takes fewer families
    """

    notebook: str
    what: str
    use: str
    instance_type: str
    hours: float
    count: int = 1
    image: str = ""
    gpu_memory: float = 0
    multi_model: bool = False

    @property
    def quota(self) -> str:
        return quota_name(self.instance_type, self.use)


def quota_name(instance_type: str, use: str) -> str:
    """AWS's name of the quota on a type: ``ml.g5.2xlarge for endpoint usage``."""
    return f"{instance_type} for {QUOTA_USES[use]}"


COURSE = (
    Need(
        notebook="all", what="a notebook instance to work in", use="notebook",
        instance_type="ml.t3.medium", hours=6,
    ),
    Need(
        notebook="01", what="real-time endpoint, the first image", use="hosting",
        instance_type="ml.g4dn.xlarge", hours=0.5, image="real-time", gpu_memory=8,
    ),
    Need(
        notebook="03", what="asynchronous endpoint that fine-tunes", use="hosting",
        instance_type="ml.g5.2xlarge", hours=2, image="fine-tuning", gpu_memory=24,
    ),
    Need(
        notebook="03", what="the same kind, grown by a queue of twenty jobs", use="hosting",
        instance_type="ml.g5.xlarge", hours=0.5, count=3, image="fine-tuning", gpu_memory=24,
    ),
    Need(
        notebook="04-07", what="training jobs of the experiments", use="training",
        instance_type="ml.g5.2xlarge", hours=2, image="training", gpu_memory=24,
    ),
    Need(
        notebook="07", what="real-time endpoint of what the jobs made", use="hosting",
        instance_type="ml.g4dn.xlarge", hours=0.5, image="real-time", gpu_memory=8,
    ),
    Need(
        notebook="08", what="multi-model endpoint of the avatars", use="hosting",
        instance_type="ml.g5.2xlarge", hours=1, image="avatars", gpu_memory=16, multi_model=True,
    ),
)  # fmt: skip
"""Instance types as the publications of 2023 and the notebooks name them. GPU memory: what those
instances have had there; with prior preservation 16 GiB were too few for JumpStart's trainer."""


def quotas_needed() -> Counter[str]:
    """Instances by the name of their quota, when every endpoint of the course is up at once."""
    needed: Counter[str] = Counter()
    for need in COURSE:
        needed[need.quota] += need.count
    needed[TOTAL_QUOTA] = sum(need.count for need in COURSE if need.use == "hosting")
    return needed


def need_of(notebook: str) -> Need:
    """The first need of a notebook by its number. Raises ``KeyError``."""
    return {need.notebook: need for need in reversed(COURSE)}[notebook]
