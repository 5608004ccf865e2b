"""The control plane's training jobs: create, describe, list, stop, delete.

The words of refusals are AWS's where they are known; requests arrive validated by ``wire``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from helpers.local.checks import check_role
from helpers.local.context import Context
from helpers.local.hosts import repository_of
from helpers.local.quotas import Quotas
from helpers.local.store import Shelf, Tags, page
from helpers.local.training_host import ML, keys_below
from helpers.local.training_job import TrainingJob
from helpers.local.wire import Call, Refusal, perform

Members = dict[str, Any]

LONGEST_S = 28 * 24 * 3600
USUAL_S = 24 * 3600
_INVALID = "ValidationException"
_IMAGES = ("pytorch", "huggingface-pytorch-training", "pytorch-training")
"""Images whose Python the course's own environment can stand for."""


class TrainingJobs:
    """The training jobs of one account, and the operations on them."""

    def __init__(self, context: Context, tags: Tags, quotas: Quotas) -> None:
        self._context, self._tags, self._quotas = context, tags, quotas
        self.jobs: Shelf[TrainingJob] = Shelf(
            "training job", lambda name: context.arn("training-job", name)
        )

    def answer(self, call: Call) -> Members:
        """Do what a call asks. Raises ``Refusal``."""
        return perform(self, call)

    def revive(self) -> None:
        """Show again what has ended, and let go on what has not."""
        for kept in self._context.journal.all("training job").values():
            self.jobs.add(TrainingJob.of_plain(self._context, kept)).revive()

    def stop(self) -> None:
        for job in self.jobs.all():
            job.kill()

    def _create_training_job(self, asked: Members) -> Members:
        name = asked["TrainingJobName"]
        arn = self._context.arn("training-job", name)
        if self.jobs.find(name):
            raise Refusal(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({arn})",
            )
        asked = _with_defaults(asked)
        _check(self._context, asked)
        resources = asked["ResourceConfig"]
        job = TrainingJob(context=self._context, name=name, arn=arn, request=asked)
        with self._quotas.lock:
            wanted = Counter({resources["InstanceType"]: resources["InstanceCount"]})
            spot = _spot(asked)
            self._quotas.check_training(wanted, self._in_use(spot=spot), spot=spot)
            self.jobs.add(job)
        try:
            self._tags.add(arn, asked.get("Tags", []))
            job.begin()
        except Exception:  # the disk is full: then nothing was made
            self.jobs.remove(name)
            raise
        return {"TrainingJobArn": arn}

    def _describe_training_job(self, asked: Members) -> Members:
        return self._get(asked).describe()

    def _list_training_jobs(self, asked: Members) -> Members:
        status = asked.get("StatusEquals")
        found, token = page(
            self.jobs.all(),
            asked,
            keep=lambda job: status in (None, job.status),
            by={"Status": lambda job: job.status},
        )
        return {
            "TrainingJobSummaries": [
                {
                    "TrainingJobName": job.name,
                    "TrainingJobArn": job.arn,
                    "CreationTime": job.created.timestamp(),
                    "LastModifiedTime": job.modified.timestamp(),
                    "TrainingJobStatus": job.status,
                    **({"TrainingEndTime": job.ended.timestamp()} if job.ended else {}),
                }
                for job in found
            ],
            "NextToken": token,
        }

    def _stop_training_job(self, asked: Members) -> Members:
        job = self._get(asked)
        if not job.ask_to_stop():
            raise Refusal(
                _INVALID,
                f"The request was rejected because the training job is in status {job.status}.",
            )
        return {}

    def _delete_training_job(self, asked: Members) -> Members:
        job = self._get(asked)
        if job.busy:
            raise Refusal(
                "ResourceInUse",
                f"The training job {job.arn} is in status {job.status}: stop it first.",
            )
        self._context.journal.drop("training job", job.name)
        self.jobs.remove(job.name)
        self._tags.drop(job.arn)
        return {}

    def _get(self, asked: Members) -> TrainingJob:
        job = self.jobs.find(asked["TrainingJobName"])
        if job is None:
            raise Refusal(_INVALID, "Requested resource not found.")
        return job

    def _in_use(self, *, spot: bool) -> Counter[str]:
        used: Counter[str] = Counter()
        for job in self.jobs.all():
            if job.busy and _spot(job.request) == spot:
                resources = job.request["ResourceConfig"]
                used[resources["InstanceType"]] += resources["InstanceCount"]
        return used


def _with_defaults(asked: Members) -> Members:
    limits = {"MaxRuntimeInSeconds": USUAL_S, **(asked.get("StoppingCondition") or {})}
    return {**asked, "StoppingCondition": limits}


def _spot(asked: Members) -> bool:
    return bool(asked.get("EnableManagedSpotTraining"))


def _check(context: Context, asked: Members) -> None:
    """What CreateTrainingJob refuses beyond shapes, and what this machine cannot do."""
    if why := _refused(asked):
        raise Refusal(_INVALID, why)
    check_role(context, asked["RoleArn"])
    names = [one["ChannelName"] for one in asked.get("InputDataConfig", [])]
    if len(set(names)) < len(names):
        raise Refusal(_INVALID, "Channel names must be unique.")
    for channel in asked.get("InputDataConfig", []):
        _check_channel(context, channel, asked["RoleArn"])


def _refused(asked: Members) -> str:
    algorithm, limits = asked["AlgorithmSpecification"], asked["StoppingCondition"]
    resources = asked.get("ResourceConfig") or {}
    if not {"InstanceType", "InstanceCount", "VolumeSizeInGB"} <= resources.keys():
        return "ResourceConfig needs InstanceType, InstanceCount and VolumeSizeInGB."
    if resources["InstanceCount"] != 1:
        return "The local SageMaker trains on one instance, InstanceCount 1."
    if bool(algorithm.get("TrainingImage")) == bool(algorithm.get("AlgorithmName")):
        return "Specify exactly one of TrainingImage and AlgorithmName."
    if repository_of(algorithm.get("TrainingImage", "")) not in _IMAGES:
        return f"The local SageMaker trains in images named {', '.join(_IMAGES)}."
    if not algorithm.get("ContainerEntrypoint"):
        return f"The local SageMaker runs a ContainerEntrypoint, such as python3 {ML}/input/data/…"
    if limits["MaxRuntimeInSeconds"] > LONGEST_S:
        return f"MaxRuntimeInSeconds must be at most {LONGEST_S}."
    wait = limits.get("MaxWaitTimeInSeconds")
    if _spot(asked) and (wait is None or wait < limits["MaxRuntimeInSeconds"]):
        return (
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )
    if wait is not None and not _spot(asked):
        return "MaxWaitTimeInSeconds needs EnableManagedSpotTraining."
    if not asked["OutputDataConfig"]["S3OutputPath"].startswith("s3://"):
        return "S3OutputPath must be an S3 location."
    return ""


def _check_channel(context: Context, channel: Members, role: str) -> None:
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if not source or source["S3DataType"] != "S3Prefix":
        raise Refusal(_INVALID, f"The local SageMaker reads channels from an S3Prefix, not {name}.")
    if channel.get("CompressionType", "None") != "None" or channel.get("InputMode") == "Pipe":
        raise Refusal(_INVALID, f"The local SageMaker reads plain files, unlike channel {name}.")
    if not keys_below(context, source["S3Uri"]):
        bucket = source["S3Uri"].removeprefix("s3://").partition("/")[0]
        raise Refusal(
            _INVALID,
            f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. '
            "Please ensure that the bucket exists in the selected region "
            f"({context.region}), that objects exist under that S3 prefix, and that the role "
            f'"{role}" has "s3:ListBucket" permissions on bucket "{bucket}".',
        )
