"""What the load model is given, each number with its source: times, sizes, habits, limits.

*measured* stands in a report of this machine or in the course's documentation, *cited* in the named
page as read in 2026-11, *counted* follows from such numbers. *assumed* are habits of users, which
everybody has to put in for themselves. Nothing of this ran on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.bench.report import read_report
from helpers.cloud.instances import INSTANCES
from helpers.cloud.needs import TOTAL_QUOTA, need_of, quota_name
from helpers.cloud.price_table import DATE, HOME, PRICES

TUNER, PAINTER = need_of("03").instance_type, need_of("08").instance_type
"""The instances of the two services, as the course rents them."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number that goes in. ``how``: measured, cited, counted or assumed."""

    about: str
    value: float
    unit: str = ""
    how: str
    source: str


_DOCS = "https://docs.aws.amazon.com"
_PRICES = "https://www.wring.co/blog/aws-sagemaker-inference-guide"
_STARTS = (
    "https://aws.amazon.com/blogs/machine-learning/"
    "introducing-container-caching-in-amazon-sagemaker-ai-for-faster-model-scaling/"
)
_PAINTS = (
    "https://github.com/philschmid/transformers-deepspeed/blob/"
    "6952ae9f54d92cbb229c835fe32b4179e5132a54/inference/stable_diffusion_optimization.ipynb"
)


def _price(instance_type: str, what: str) -> Fact:
    dollars = PRICES[HOME][instance_type]
    value = dollars if isinstance(dollars, (int, float)) else dollars["hosting"]
    return Fact(
        about=f"an hour of {instance_type} in {HOME}, {what}",
        value=float(value),
        unit="$",
        how="cited",
        source=f"{_PRICES} (rounded there; the course's table of {DATE} is not verified either)",
    )


FACTS: Mapping[str, Fact] = {
    "gpu.rate": Fact(
        about="what painting reaches on an A10G, taken for training too", value=18.5,
        unit="TFLOP/s", how="counted",
        source=f"51 passes with guidance and a decoding, 84.5 TFLOP, in the 4.57 s of {_PAINTS} "
        "(2022, half precision; 2.68 s with other kernels)",
    ),
    "job.other": Fact(
        about="of a job besides its computation: ten photos of 12 megapixels read, faces found, "
        "cut to 512 pixels", value=5.2, unit="s", how="measured",
        source="one core's time, two-core machine, 2026-11",
    ),
    "job.cold-share": Fact(
        about="jobs that have to paint their class images first", value=0.02, how="assumed",
        source="class images are kept for each class and base; most subjects are of a known class",
    ),
    "picture.flops": Fact(
        about="a picture of 25 steps with guidance", value=42.7, unit="TFLOP", how="counted",
        source="2 x 25 passes of 0.804 TFLOP and a decoding of 2.515, see helpers/bench/flops.py",
    ),
    "instance.delay": Fact(
        about="from the request for an instance to its first job", value=346, unit="s",
        how="cited", source=f"{_STARTS} (the median of a user's ml.g5.2xlarge with an image of "
        "17.5 GB, before AWS kept images near; 164 s since)",
    ),
    "avatar.load": Fact(
        about="loading an avatar's stub", value=0.33, unit="s", how="measured",
        source="the slowest of the stubs on the real Triton, two cores, 2026-11",
    ),
    "avatar.fetch": Fact(
        about="fetching an adapter of 6.6 MB from S3 to the instance", value=0.28, unit="s",
        how="counted", source="200 ms and 85 MB/s, which AWS's guidelines name for one request: "
        f"{_DOCS}/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html",
    ),
    "avatar.evict": Fact(
        about="unloading another avatar where there is no room", value=2.0, unit="s",
        how="measured", source="the real Triton answers DELETE after 2.0 s, 2026-11",
    ),
    "avatar.room": Fact(
        about="avatars that an instance holds", value=60, how="counted",
        source="1 MB each (measured) in the 64 MB of /dev/shm of "
        "https://github.com/aws/sagemaker-python-sdk/issues/2801",
    ),
    "size.adapter": Fact(
        about="an adapter", value=6.6, unit="MB", how="measured", source="docs/performance.md",
    ),
    "size.photos": Fact(
        about="ten prepared photos", value=3.3, unit="MB", how="measured",
        source="PNG of 512 pixels, scikit-image's astronaut",
    ),
    "size.picture": Fact(
        about="a painted picture", value=0.42, unit="MB", how="measured",
        source="PNG of 512 pixels, scikit-image's astronaut",
    ),
    "price.tuner": _price(TUNER, "fine-tuning"),
    "price.painter": _price(PAINTER, "painting"),
    "price.storage": Fact(
        about="a GB in S3 Standard for a month", value=0.023, unit="$", how="cited",
        source="https://devnotes.tech/"
        "understanding-aws-s3-pricing-a-complete-cost-breakdown-with-examples",
    ),
    "habit.swing": Fact(
        about="how far the hours of a day swing around their mean", value=0.8, how="assumed",
        source="the evening has 1.8, the early morning 0.2 of the mean",
    ),
    "habit.sessions": Fact(
        about="times that an owner sits down with an avatar", value=4, how="assumed",
        source="once on the day it is made, the rest within 30 days",
    ),
    "habit.pictures": Fact(
        about="pictures at a sitting", value=5, how="assumed", source="a row of tries",
    ),
    "habit.pause": Fact(
        about="between two pictures of a sitting", value=30, unit="s", how="assumed",
        source="time to look and to type",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit and what one avatar a day takes of it in the evening, as a share of ``unit``.

    ``peak`` is what the busiest second needs for each avatar a day; ``next``: who takes over.
    """

    key: str
    about: str
    limit: float
    unit: str
    peak: float
    how: str
    source: str
    next: str

    @property
    def bites(self) -> float:
        """Avatars a day at which it is reached; 0: from the first."""
        return self.limit / self.peak


def limits(facts: Mapping[str, Fact], job_s: float, picture_s: float) -> list[Limit]:
    """Limits that depend on the number of avatars, the first to bite first.

    ``job_s`` and ``picture_s``: GPU seconds of a job and of a picture. Calls are counted from the
    course's own code: a request, a result, an adapter and a stub for an avatar, one object for
    every picture.
    """
    from helpers.local.quotas import default_values

    quotas = default_values()
    sittings, pictures = facts["habit.sessions"].value, facts["habit.pictures"].value
    painted = sittings * pictures
    evening = (1 + facts["habit.swing"].value) / 86400
    busy = evening * (job_s + painted * picture_s) / 0.8
    memory = "names and values from public reports, 2026-11, see helpers/local/quotas.py"
    found = [
        Limit(
            key="gpu-quota", about=f"quota: {quota_name(TUNER, 'hosting')}, of a new account",
            limit=quotas[quota_name(TUNER, "hosting")], unit="instances", peak=busy,
            how="reported", source=memory, next="a quota request, before anything else",
        ),
        Limit(
            key="instances", about=f"quota: {TOTAL_QUOTA}", limit=quotas[TOTAL_QUOTA],
            unit="instances", peak=busy, how="reported", source=memory,
            next="a higher quota; then training on AWS Batch, serving in cells",
        ),
        Limit(
            key="submit-job", about="AWS Batch: SubmitJob for each account", limit=50,
            unit="calls/s", peak=evening, how="cited",
            source=f"{_DOCS}/batch/latest/userguide/service_limits.html",
            next="array jobs, or workers on EKS that read the queue themselves",
        ),
        Limit(
            key="s3-write", about="S3: writes below one partitioned prefix", limit=3500,
            unit="calls/s", peak=evening * (4 + painted), how="cited",
            source="https://aws.amazon.com/premiumsupport/knowledge-center/s3-object-key-naming-pattern/",
            next="keys that begin with a hash of the avatar, so that S3 splits them",
        ),
        Limit(
            key="s3-read", about="S3: reads below one partitioned prefix", limit=5500,
            unit="calls/s", peak=evening * (2 + sittings + painted), how="cited",
            source="https://aws.amazon.com/premiumsupport/knowledge-center/s3-object-key-naming-pattern/",
            next="CloudFront before the pictures, hashed keys for the adapters",
        ),
        Limit(
            key="sqs-flight", about="SQS: messages in flight of a standard queue", limit=120_000,
            unit="jobs", peak=evening * job_s, how="cited",
            source=f"{_DOCS}/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html",
            next="a queue for each cell",
        ),
        Limit(
            key="dynamodb", about="DynamoDB: writes to one table on demand", limit=40_000,
            unit="writes/s", peak=evening * (6 + painted), how="cited",
            source=f"{_DOCS}/amazondynamodb/latest/developerguide/Limits.html",
            next="a higher quota, or a table for each cell",
        ),
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.bites)


def facts_here(reports: Path) -> Mapping[str, Fact]:
    """``FACTS``, with the times that a bench measured on this machine where they speak of the same
    thing: the avatar's load from any, the job from one on the tuner's own GPU.

    ``reports``: the folder of the benches' reports. Raises ``ValueError`` for one that is broken.
    """
    found = dict(FACTS)
    hosting = _rows(reports / "hosting.json")
    if load := hosting.get("load.ours"):
        found["avatar.load"] = replace(
            FACTS["avatar.load"], value=float(load), source="bench hosting, on this machine"
        )
    tuning, gpu = _rows(reports / "fine_tune.json"), INSTANCES[TUNER].gpu
    if gpu in str(tuning.get("gpu", "")) and (warm := tuning.get("gpu.time.job.warm")):
        found["job.warm"] = Fact(
            about="a job of ten photos, class images in the bank", value=float(warm), unit="s",
            how="measured", source=f"bench fine-tune on {tuning['gpu']}",
        )  # fmt: skip
        if cold := tuning.get("gpu.time.job.cold"):
            found["job.cold"] = replace(
                found["job.warm"],
                about="the same, painting the class images first",
                value=float(cold),
            )
    return found


def _rows(path: Path) -> dict[str, float | str | None]:
    if not path.is_file():
        return {}
    return {row["name"]: row["value"] for row in read_report(path).results}


def with_jobs(facts: Mapping[str, Fact], *, warm: float, cold: float) -> Mapping[str, Fact]:
    """The facts with the times of a job, which follow from the work in TFLOP where nobody
    measured them."""
    rate, other = facts["gpu.rate"].value, facts["job.other"].value
    source = "the ledger of docs/performance.md over the GPU's rate, and the rest of a job"
    about = ("a job of ten photos, class images in the bank", "the same, painting them first")
    counted = {
        key: Fact(about=words, value=work / rate + other, unit="s", how="counted", source=source)
        for key, words, work in zip(("job.warm", "job.cold"), about, (warm, cold), strict=True)
    }
    seconds = facts["picture.flops"].value / rate
    picture = Fact(
        about="a picture on the GPU", value=seconds, unit="s", how="counted",
        source="its work over the GPU's rate, one at a time",
    )  # fmt: skip
    return {**counted, "picture": picture, **facts}
