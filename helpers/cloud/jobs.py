"""One job behind an asynchronous endpoint: submit it, follow it, read how it ended."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from helpers.cloud.logs import LogLine, read_logs
from helpers.cloud.records import photo_hashes, write_record
from helpers.cloud.session import Cloud
from helpers.errors import JobError
from helpers.s3 import split_uri
from helpers.strict_json import parse_object

MAX_REQUEST_BYTES = 1024**3
MAX_TIMEOUT_S = 3600
QUEUE_S = 21_600
"""Seconds a request may wait in the queue before SageMaker gives it up."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A submitted request and the two places of which exactly one will hold its end.

    ``submitted`` in seconds since the epoch. ``to_json`` and ``from_json`` carry it over a restart.
    """

    endpoint: str
    inference_id: str
    input_location: str
    output_location: str
    failure_location: str
    submitted: float
    timeout_s: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        try:
            return cls(**parse_object(text))
        except (ValueError, TypeError) as trouble:
            raise JobError(
                "this is no saved job", str(trouble), "submit the request again"
            ) from None


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """A look at a job: ``running`` (queued or at work), ``completed`` or ``failed``; seconds since
    it was submitted; and what the containers wrote since the look before."""

    state: str
    seconds: float
    lines: tuple[LogLine, ...] = ()

    @property
    def done(self) -> bool:
        return self.state != "running"


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A message of the success or the error topic; ``message`` is all of it."""

    inference_id: str
    status: str
    output_location: str
    failure_reason: str
    message: dict[str, Any]


def submit(
    cloud: Cloud,
    endpoint: str,
    request_path: Path,
    *,
    inference_id: str | None = None,
    timeout_s: int = MAX_TIMEOUT_S,
) -> Job:
    """Upload a request archive and put it into the endpoint's queue.

    ``inference_id``: 1-64 letters, digits, ``.``, ``_``, ``-``; made up if not given.
    ``timeout_s``: 1-3600, how long the container may work on it. Raises ``JobError``.
    """
    inference_id = inference_id or str(uuid.uuid4())
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", inference_id):
        raise JobError("the inference id is not usable", "letters, digits, . _ - only, 64 at most")
    size = Path(request_path).stat().st_size
    if size > MAX_REQUEST_BYTES:
        raise JobError(f"the request has {size:,} bytes", "1 GB is the limit", "send fewer photos")
    name = cloud.name(endpoint)
    photos = photo_hashes(Path(request_path))
    write_record(cloud, inference_id, photos)
    location = cloud.upload(Path(request_path), "requests", f"{inference_id}.tar.gz")
    try:
        answer = cloud.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=name,
            InputLocation=location,
            ContentType="application/gzip",
            Accept="application/json",
            InferenceId=inference_id,
            # The container is not told of the timeout unless somebody tells it.
            CustomAttributes=f"inference_id={inference_id};timeout_s={timeout_s}",
            InvocationTimeoutSeconds=timeout_s,
        )
    except ClientError as trouble:
        raise JobError(f"the endpoint {name} took no request", str(trouble)) from trouble
    places = [answer["OutputLocation"], answer["FailureLocation"]]
    with suppress(ClientError):  # the job runs, whatever becomes of its record
        write_record(cloud, inference_id, photos, places)
    return Job(
        endpoint=name,
        inference_id=answer["InferenceId"],
        input_location=location,
        output_location=answer["OutputLocation"],
        failure_location=answer["FailureLocation"],
        submitted=time.time(),
        timeout_s=timeout_s,
    )


def follow(cloud: Cloud, job: Job, *, every_s: float | None = None) -> Iterator[JobStatus]:
    """Look at a job until it has ended; the last status is ``completed`` or ``failed``.

    Raises ``JobError`` when the job can no longer end: its endpoint is gone, or all its time is.
    """
    every_s = cloud.pause(5, brisk=0.25) if every_s is None else every_s
    seen = int(job.submitted * 1000)
    shown: set[str] = set()
    while True:
        state = job_state(cloud, job)
        fresh = [
            line for line in read_logs(cloud, job.endpoint, since=seen) if line.id not in shown
        ]
        shown.update(line.id for line in fresh)
        if fresh:
            seen = max(seen, max(line.time for line in fresh))
        seconds = time.time() - job.submitted
        yield JobStatus(state=state, seconds=seconds, lines=tuple(fresh))
        if state != "running":
            return
        if seconds > QUEUE_S + job.timeout_s + 60:
            raise JobError(
                f"the job {job.inference_id} was lost", "its time is over", "submit it again"
            )
        if not _endpoint_exists(cloud, job) and job_state(cloud, job) == "running":
            raise JobError(
                f"the job {job.inference_id} was lost",
                f"its endpoint {job.endpoint} is gone",
                "deploy it and submit the job again",
            )
        time.sleep(every_s)


def result(cloud: Cloud, job: Job) -> dict[str, Any]:
    """What the container answered. Raises ``JobError`` with the failure's text, or if not ended."""
    output = _read(cloud, job.output_location)
    if output is not None:
        try:
            return json.loads(output)
        except ValueError:
            raise JobError(f"the result of {job.inference_id} is not JSON") from None
    failure = failure_text(cloud, job)
    if failure is not None:
        raise JobError(
            f"the job {job.inference_id} failed",
            _cause(failure),
            "the container's log says more: helpers.cloud.logs.read_logs",
        )
    raise JobError(f"the job {job.inference_id} has not ended", "", "follow it first")


def failure_text(cloud: Cloud, job: Job) -> str | None:
    """The failure object as SageMaker wrote it; ``None`` if there is none."""
    failure = _read(cloud, job.failure_location)
    return None if failure is None else failure.decode("utf-8", "replace")


def notifications(cloud: Cloud, queue_url: str, *, wait_s: int = 5) -> list[Notification]:
    """Take every message that is in the queue, waiting up to ``wait_s`` (0-20) for the first."""
    sqs, found = cloud.client("sqs"), []
    while True:
        batch = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0 if found else wait_s
        ).get("Messages", [])
        if not batch:
            return found
        for item in batch:
            found.append(_parse(item["Body"]))
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=item["ReceiptHandle"])


def _cause(failure: str) -> str:
    """The handler's own words, out of SageMaker's and DJL's around them; all of it if unclear."""
    answer = re.search(r'with message "(.*)"\. See ', failure, re.DOTALL)
    try:
        said = json.loads(answer[1]) if answer else {}
        return str(said.get("error") or said.get("message") or failure)
    except (ValueError, AttributeError):
        return failure


def _parse(body: str) -> Notification:
    message = json.loads(json.loads(body)["Message"])
    return Notification(
        inference_id=message.get("inferenceId", ""),
        status=message["invocationStatus"],
        output_location=message.get("responseParameters", {}).get("outputLocation", ""),
        failure_reason=message.get("failureReason", ""),
        message=message,
    )


def job_state(cloud: Cloud, job: Job) -> str:
    """``running`` (queued or at work), ``completed`` or ``failed``, by what lies in S3."""
    if _exists(cloud, job.output_location):
        return "completed"
    return "failed" if _exists(cloud, job.failure_location) else "running"


def _exists(cloud: Cloud, location: str) -> bool:
    bucket, key = split_uri(location)
    try:
        cloud.client("s3").head_object(Bucket=bucket, Key=key)
        return True
    except ClientError as trouble:
        # Without permission to list, S3 says 403 for an object that is not there yet.
        if trouble.response["Error"]["Code"] in ("404", "403", "NoSuchKey"):
            return False
        raise


def _read(cloud: Cloud, location: str) -> bytes | None:
    if not _exists(cloud, location):
        return None
    bucket, key = split_uri(location)
    return cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def _endpoint_exists(cloud: Cloud, job: Job) -> bool:
    try:
        cloud.client("sagemaker").describe_endpoint(EndpointName=job.endpoint)
        return True
    except ClientError as trouble:
        if "Could not find" in str(trouble):
            return False
        raise
