"""Short ways to run one job behind an asynchronous endpoint."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from helpers.cloud import jobs
from helpers.cloud.session import Cloud


def send(cloud: Cloud, endpoint: str, *, timeout_s: int = 60, **asked: Any) -> jobs.Job:
    """Put a request into the queue, its body inline."""
    inference_id = str(uuid.uuid4())
    answer = cloud.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=endpoint,
        Body=json.dumps(asked).encode(),
        ContentType="application/json",
        InferenceId=inference_id,
        InvocationTimeoutSeconds=timeout_s,
        CustomAttributes="colour=blue",
    )
    return jobs.Job(
        endpoint=endpoint,
        inference_id=inference_id,
        input_location="",
        output_location=answer["OutputLocation"],
        failure_location=answer["FailureLocation"],
        submitted=time.time(),
        timeout_s=timeout_s,
    )


def wait(cloud: Cloud, job: jobs.Job, *, within_s: float = 30) -> str:
    """``completed`` or ``failed``."""
    for status in jobs.follow(cloud, job, every_s=0.05):
        assert status.seconds < within_s, f"the job did not end within {within_s} s"
        if status.done:
            return status.state
    raise AssertionError("follow ended early")


def run(cloud: Cloud, endpoint: str, **asked: Any) -> dict[str, Any]:
    """Run a job that must succeed, and give back its result."""
    job = send(cloud, endpoint, **asked)
    assert wait(cloud, job) == "completed", jobs.result(cloud, job)
    return jobs.result(cloud, job)


def failure(cloud: Cloud, endpoint: str, **asked: Any) -> str:
    """Run a job that must fail, and give back the text of its failure object."""
    job = send(cloud, endpoint, **asked)
    assert wait(cloud, job) == "failed"
    bucket, _, key = job.failure_location.removeprefix("s3://").partition("/")
    return cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
