"""One training job: start it, follow it, stop it, take its model.

A job brings its own instance and gives it back when it ends, so it costs for its own seconds and
nothing after. Its name is for ever: each start makes a new one.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from helpers.archives import unpack
from helpers.cloud.costs import estimate
from helpers.cloud.deployment import in_words, record_prefix
from helpers.cloud.images import require_family, training_image
from helpers.cloud.instances import has_gpu
from helpers.cloud.kinds import pages
from helpers.cloud.ledger import Ledger
from helpers.cloud.logs import LogLine
from helpers.cloud.session import Cloud
from helpers.errors import JobError
from helpers.s3 import split_uri
from helpers.strict_json import parse_object

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
ENTRY = ("python3", "/opt/ml/input/data/code/train.py")
"""What runs in the container: the channel ``code`` holds it."""
CHECKPOINTS = "/opt/ml/checkpoints"
ENDED = ("Completed", "Failed", "Stopped")
LARGEST_MODEL = 16 * 1024**3


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A job that was started. ``started`` in seconds since the epoch, ``per_hour`` in dollars, or
    ``None`` without a price. ``to_json`` and ``from_json`` carry it over a restart."""

    name: str
    started: float
    per_hour: float | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingJob:
        try:
            return cls(**parse_object(text))
        except (ValueError, TypeError) as trouble:
            raise JobError("this is no saved job", str(trouble), "start it again") from None


@dataclass(frozen=True, kw_only=True)
class TrainingStatus:
    """A look at a job.

    ``state`` is ``InProgress``, ``Stopping``, or one of ``ENDED``; ``detail`` what it does within
    it, such as ``Downloading``; ``reason`` why it failed. ``model`` is the address of what came
    out, ``metrics`` the last value of each, ``billable_s`` what AWS charges for. ``lines`` are new
    in the log since the look before.
    """

    state: str
    detail: str
    seconds: float
    reason: str = ""
    model: str = ""
    metrics: Mapping[str, float]
    billable_s: float | None = None
    lines: tuple[LogLine, ...] = ()

    @property
    def done(self) -> bool:
        return self.state in ENDED


def start_training(
    cloud: Cloud,
    ledger: Ledger,
    *,
    name: str,
    channels: Mapping[str, str],
    hyperparameters: Mapping[str, str],
    instance_type: str,
    max_runtime_s: int = 3600,
    isolated: bool = False,
    spot: bool = False,
    checkpoint_steps: int = 0,
    metrics: Sequence[Mapping[str, str]] = (),
    environment: Mapping[str, str] | None = None,
    disk_gb: int = 50,
    image: str = "",
) -> TrainingJob:
    """Start a training job and return at once; see ``follow``.

    ``channels`` are S3 prefixes by name; ``code`` holds the ``train.py`` that runs. The job is
    stopped after ``max_runtime_s``. ``isolated``: it reaches no network, not even S3; SageMaker
    brings its files and takes its model. ``spot``: on spare capacity, up to 70% cheaper by AWS's
    word, which may be taken away; the job then waits, as long again as it may run, and goes on from
    the checkpoint that it wrote every ``checkpoint_steps`` steps. Raises ``ServiceError``.
    """
    full = cloud.name(f"{name}-{secrets.token_hex(3)}")
    image = image or training_image(cloud.region)
    require_family(image, instance_type, gpu=has_gpu(instance_type))
    hours = max_runtime_s / 3600
    cost = estimate(
        cloud, f"the training job {full}, at most", instance_type, hours=hours, use="training"
    )
    cloud.announce(str(cost))
    limits = {"MaxRuntimeInSeconds": max_runtime_s}
    more: dict[str, Any] = {}
    if spot:
        limits["MaxWaitTimeInSeconds"] = 2 * max_runtime_s
    if checkpoint_steps:
        more["CheckpointConfig"] = {
            "S3Uri": cloud.uri("training", full, "checkpoints"),
            "LocalPath": CHECKPOINTS,
        }
    record_prefix(cloud, ledger)
    # No price by the hour: a job that has ended stays in the list, and costs nothing.
    with (
        in_words(f"the training job {full} cannot be started"),
        ledger.creating("training-job", full, instances=cost.instances),
    ):
        cloud.client("sagemaker").create_training_job(
            TrainingJobName=full,
            AlgorithmSpecification={
                "TrainingImage": image,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": list(ENTRY),
                **({"MetricDefinitions": list(metrics)} if metrics else {}),
            },
            RoleArn=cloud.role_arn,
            HyperParameters=dict(hyperparameters),
            InputDataConfig=[_channel(*one) for one in channels.items()],
            OutputDataConfig={"S3OutputPath": cloud.uri("training")},
            ResourceConfig={
                "InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": disk_gb,
            },
            StoppingCondition=limits,
            EnableNetworkIsolation=isolated,
            EnableManagedSpotTraining=spot,
            Environment={"CHECKPOINT_STEPS": str(checkpoint_steps), **(environment or {})},
            Tags=cloud.tags,
            **more,
        )  # fmt: skip
    return TrainingJob(name=full, started=time.time(), per_hour=cost.per_hour)


def upload_folder(cloud: Cloud, ledger: Ledger, folder: Path, *parts: str) -> str:
    """Copy every file of a folder to S3; returns the prefix, with the slash at its end."""
    record_prefix(cloud, ledger)
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        cloud.upload(file, *parts, *file.relative_to(folder).parts)
    return cloud.uri(*parts) + "/"


def follow(
    cloud: Cloud, job: TrainingJob, *, every_s: float | None = None
) -> Iterator[TrainingStatus]:
    """Look at a job until it has ended. Raises ``JobError`` if it is gone."""
    every_s = cloud.pause(10, brisk=0.25) if every_s is None else every_s
    log = _Log(cloud, job.name)
    while True:
        status = look(cloud, job)
        yield replace(status, lines=tuple(log.fresh()))
        if status.done:
            return
        time.sleep(every_s)


def wait(cloud: Cloud, job: TrainingJob) -> TrainingStatus:
    """The last status of a job. Raises ``JobError`` unless it has completed."""
    *_, status = follow(cloud, job)
    if status.state != "Completed":
        raise JobError(
            f"the training job {job.name} ended as {status.detail}",
            status.reason,
            "its log says more: helpers.cloud.training_jobs.read_job_log",
        )
    return status


def look(cloud: Cloud, job: TrainingJob) -> TrainingStatus:
    """How a job is now, without its log. Raises ``JobError`` if there is none of that name."""
    try:
        found = cloud.client("sagemaker").describe_training_job(TrainingJobName=job.name)
    except ClientError as trouble:
        raise JobError(f"the training job {job.name} is not there", str(trouble)) from trouble
    return TrainingStatus(
        state=found["TrainingJobStatus"],
        detail=found["SecondaryStatus"],
        seconds=time.time() - job.started,
        reason=found.get("FailureReason", ""),
        model=found.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
        metrics={one["MetricName"]: one["Value"] for one in found.get("FinalMetricDataList", [])},
        billable_s=found.get("BillableTimeInSeconds"),
    )


def history(cloud: Cloud, job: TrainingJob) -> list[tuple[str, float]]:
    """Everything that a job did, in order, and the seconds that each took."""
    found = cloud.client("sagemaker").describe_training_job(TrainingJobName=job.name)
    return [
        (one["Status"], (one.get("EndTime", one["StartTime"]) - one["StartTime"]).total_seconds())
        for one in found["SecondaryStatusTransitions"]
    ]


def stop_training(cloud: Cloud, job: TrainingJob) -> None:
    """Ask a job to end; nothing happens if it has. Raises ``ServiceError`` when AWS refuses."""
    if not look(cloud, job).done:
        with in_words(f"the training job {job.name} cannot be stopped"):
            cloud.client("sagemaker").stop_training_job(TrainingJobName=job.name)


def read_job_log(cloud: Cloud, job: TrainingJob) -> list[LogLine]:
    """Every line that the job has written, oldest first."""
    return _Log(cloud, job.name).fresh()


def fetch_model(cloud: Cloud, status: TrainingStatus, folder: Path) -> Path:
    """Download and unpack what a job left into ``folder``; what stood there goes.

    The archive was written by a container: it is read with suspicion. Raises ``JobError`` where
    there is no model, and ``ArchiveError``.
    """
    if not status.model:
        raise JobError("the job left no model", status.reason, "look at its log")
    bucket, key = split_uri(status.model)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(f"{folder.name}.tar.gz")
    try:
        cloud.client("s3").download_file(bucket, key, str(archive))
        unpack(archive, folder, limit_bytes=LARGEST_MODEL)
    finally:
        archive.unlink(missing_ok=True)
    return folder


class _Log:
    """The job's own stream in the group that all training jobs of an account share."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud, self._name = cloud, name
        self._tokens: dict[str, str] = {}
        self._read = 0

    def fresh(self) -> list[LogLine]:
        """The lines since the last call."""
        lines: list[LogLine] = []
        with suppress(self._cloud.client("logs").exceptions.ResourceNotFoundException):
            for item in pages(
                self._cloud, "logs", "describe_log_streams", "logStreams",
                logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self._name}/",
            ):  # fmt: skip
                lines += self._rest_of(item["logStreamName"])
        return lines

    def _rest_of(self, stream: str) -> Iterator[LogLine]:
        while True:
            token = self._tokens.get(stream)
            found = self._cloud.client("logs").get_log_events(
                logGroupName=LOG_GROUP,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            for event in found["events"]:
                self._read += 1
                yield LogLine(
                    id=f"{stream} {self._read}",
                    time=event["timestamp"],
                    stream=stream,
                    text=event["message"].rstrip("\n"),
                )
            self._tokens[stream] = found["nextForwardToken"]
            if not found["events"] or found["nextForwardToken"] == token:
                return


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
