"""Many jobs at once behind one endpoint: how many wait or run, and on how many instances."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.archives import pack
from helpers.cloud.jobs import Job, job_state
from helpers.cloud.session import Cloud
from helpers.errors import JobError
from helpers.settings import Settings

_WAITER = """\
import time

from djl_python import Output

SECONDS = {seconds}


def handle(inputs):
    if inputs.is_empty():  # the first call, which loads a model; there is none
        return None
    time.sleep(SECONDS)
    return Output().add_as_json({{"waited": SECONDS}})
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """A look at a crowd of jobs: seconds since the first was submitted, jobs that are unfinished
    (queued or running), completed and failed, and the instances that serve."""

    seconds: float
    backlog: int
    completed: int
    failed: int
    instances: int

    @property
    def done(self) -> bool:
        return self.backlog == 0


def pack_waiter(settings: Settings, *, seconds: float, workers: int = 1) -> Path:
    """A model archive whose jobs do nothing for ``seconds``, ``workers`` at a time; its path.

    A queue does not care what a job does, and this one can be sent twenty times for nothing.
    """
    properties = (
        f"engine=Python\noption.rolling_batch=disable\nminWorkers={workers}\nmaxWorkers={workers}\n"
    )
    members = {
        "model.py": _WAITER.format(seconds=float(seconds)).encode(),
        "serving.properties": properties.encode(),
    }
    settings.outputs.mkdir(parents=True, exist_ok=True)
    return pack(members, settings.outputs / "waiter.tar.gz")


def submit_small(cloud: Cloud, endpoint: str, count: int, *, timeout_s: int = 900) -> list[Job]:
    """Put ``count`` jobs into the endpoint's queue, their bodies inline."""
    name, found = cloud.name(endpoint), []
    for _ in range(count):
        answer = cloud.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=name,
            Body=b"{}",
            ContentType="application/json",
            InvocationTimeoutSeconds=timeout_s,
        )
        found.append(
            Job(
                endpoint=name,
                inference_id=answer["InferenceId"],
                input_location="",
                output_location=answer["OutputLocation"],
                failure_location=answer["FailureLocation"],
                submitted=time.time(),
                timeout_s=timeout_s,
            )
        )
    return found


def follow_all(
    cloud: Cloud,
    jobs: Sequence[Job],
    *,
    until: int | None = None,
    every_s: float | None = None,
    within_s: float = 3600,
) -> Iterator[Load]:
    """Look at jobs of one endpoint until all have ended and, if ``until`` is given, the endpoint
    has shrunk to that many instances. Raises ``JobError`` after ``within_s``.

    The jobs' places in S3 and the endpoint's name are all it needs, so it can begin anew after a
    kernel restart, with jobs read by ``Job.from_json``.
    """
    every_s = cloud.pause(10, brisk=0.2) if every_s is None else every_s
    began, states = (
        min(job.submitted for job in jobs),
        {job.inference_id: "running" for job in jobs},
    )
    while True:
        for job in jobs:
            if states[job.inference_id] == "running":
                states[job.inference_id] = job_state(cloud, job)
        ended = list(states.values())
        load = Load(
            seconds=time.time() - began,
            backlog=ended.count("running"),
            completed=ended.count("completed"),
            failed=ended.count("failed"),
            instances=_instances(cloud, jobs[0].endpoint),
        )
        yield load
        if load.done and (until is None or load.instances <= until):
            return
        if load.seconds > within_s:
            raise JobError(
                f"{load.backlog} of {len(jobs)} jobs had not ended after {within_s:.0f} s, "
                f"and {load.instances} instances run",
                "",
                "helpers.cloud.scaling.activities says what scaled; read the endpoint's log",
            )
        time.sleep(every_s)


def _instances(cloud: Cloud, endpoint: str) -> int:
    found = cloud.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    return sum(variant["CurrentInstanceCount"] for variant in found.get("ProductionVariants", []))
