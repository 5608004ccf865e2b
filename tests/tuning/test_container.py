"""The fine-tuning service behind an asynchronous endpoint of the local SageMaker."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.archives import pack, read_members
from helpers.bases import BaseModel
from helpers.cloud import jobs
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.logs import read_logs
from helpers.cloud.session import Cloud
from helpers.errors import JobError, ServiceError
from helpers.photos.archive import pack_request
from helpers.photos.photo import Photo
from helpers.s3 import split_uri
from helpers.tuning.adapter import check_base, unpack_adapter
from helpers.tuning.package import package_training_service
from helpers.tuning.progress import read_progress

pytestmark = pytest.mark.slow
SHORT: dict[str, Any] = {"n_steps": 4, "batch_size": 1, "num_class_images": 1, "lora_r": 4}


@pytest.fixture(scope="module")
def endpoint(
    cloud: Cloud, tiny: BaseModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    archive = package_training_service(
        folder / "model.tar.gz", base_folder=tiny.folder, staging_s3_uri=cloud.uri("staging")
    )
    deployment = deploy_async(
        cloud,
        cloud.ledger(),
        name="tuning-tests",
        image=djl_image(cloud.region),
        model_data=archive,
        instance_type="ml.g5.xlarge",
    )
    wait_in_service(cloud, deployment.endpoint)
    yield deployment.endpoint
    cloud.client("sagemaker").delete_endpoint(EndpointName=deployment.endpoint)


@pytest.fixture
def submit(
    cloud: Cloud, endpoint: str, photos: list[Image.Image], tmp_path: Path
) -> Callable[..., jobs.Job]:
    def submit(inference_id: str, timeout_s: int = 300, **config: Any) -> jobs.Job:
        taken = [Photo(name=f"p{n}.jpg", image=image) for n, image in enumerate(photos)]
        request = pack_request(taken, tmp_path / "request.tar.gz", {**SHORT, **config})
        return jobs.submit(cloud, endpoint, request, inference_id=inference_id, timeout_s=timeout_s)

    return submit


def _end(cloud: Cloud, job: jobs.Job) -> str:
    for status in jobs.follow(cloud, job, every_s=0.2):
        assert status.seconds < 120
        if status.done:
            return status.state
    raise AssertionError("the job was given up")


def _staged(cloud: Cloud) -> list[str]:
    bucket, prefix = split_uri(cloud.uri("staging"))
    found = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [one["Key"].split("/")[-2] for one in found.get("Contents", [])]


def test_a_job_leaves_an_adapter_in_staging_and_its_progress_in_the_log(
    cloud: Cloud, endpoint: str, tiny: BaseModel, submit: Callable, tmp_path: Path
) -> None:
    job = submit("fine-job")
    assert _end(cloud, job) == "completed", jobs.failure_text(cloud, job)
    result = jobs.result(cloud, job)
    bucket, key = split_uri(result["adapter"])
    data = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    check_base(unpack_adapter(data, tmp_path / "adapter"), tiny)
    assert _steps_told(cloud, endpoint, "fine-job", 4) == [1, 2, 3, 4]


def _steps_told(cloud: Cloud, endpoint: str, job: str, count: int) -> list[int]:
    """The steps in the log. A log runs behind its container, here and on AWS, so wait a little."""
    until, steps = time.monotonic() + 10, []
    while len(steps) < count and time.monotonic() < until:
        lines = [str(line) for line in read_logs(cloud, endpoint)]
        steps = [one.done for one in read_progress(lines, job) if one.stage == "step"]
        time.sleep(0.1)
    return steps


def test_an_install_that_failed_fails_the_endpoint_by_name(
    cloud: Cloud, tiny: BaseModel, tmp_path: Path
) -> None:
    """DJL logs a failed pip install and serves on; the check at load is what stops it."""
    archive = package_training_service(
        tmp_path / "model.tar.gz", base_folder=tiny.folder, staging_s3_uri=cloud.uri("staging")
    )
    members: dict[str, Path | bytes] = {
        **read_members(archive.read_bytes(), limit_bytes=1024**3, limit_members=1000)
    }
    members["requirements.txt"] = b"diffusers==0.30.0\nxformers==0.0.29\n"
    deploy_async(
        cloud,
        cloud.ledger(),
        name="half-installed",
        image=djl_image(cloud.region),
        model_data=pack(members, tmp_path / "broken.tar.gz"),
        instance_type="ml.g5.xlarge",
    )
    with pytest.raises(ServiceError) as failed:
        wait_in_service(cloud, "half-installed", timeout_s=120)
    assert "diffusers is 0.42.1, wanted 0.30.0" in str(failed.value)
    assert "xformers is missing, wanted 0.0.29" in str(failed.value)
    found = cloud.client("sagemaker").describe_endpoint(EndpointName=cloud.name("half-installed"))
    assert found["EndpointStatus"] == "Failed"
    cloud.client("sagemaker").delete_endpoint(EndpointName=cloud.name("half-installed"))


def test_the_log_says_what_the_container_has(cloud: Cloud, endpoint: str) -> None:
    until, said = time.monotonic() + 10, ""
    while "start-up check passed" not in said and time.monotonic() < until:
        said = "\n".join(str(line) for line in read_logs(cloud, endpoint))
        time.sleep(0.1)
    assert re.search(r"start-up check passed: torch \S+, CUDA .*diffusers .*/dev/shm \d+ MB", said)


@pytest.mark.promise(
    "A job done twice has one result",
    fault="SageMaker delivers the request again",
    outcome="the same address, one object",
)
def test_a_job_delivered_twice_leaves_one_adapter(
    cloud: Cloud, submit: Callable, tmp_path: Path
) -> None:
    """SageMaker may hand out a request again; the second run replaces the first one's object."""
    addresses = []
    for _ in range(2):
        job = submit("twice-job")
        assert _end(cloud, job) == "completed", jobs.failure_text(cloud, job)
        addresses.append(jobs.result(cloud, job)["adapter"])
    assert addresses[0] == addresses[1]
    assert _staged(cloud).count("twice-job") == 1


def test_a_job_gives_up_before_its_invocation_times_out(cloud: Cloud, submit: Callable) -> None:
    job = submit("late-job", timeout_s=6, n_steps=20_000)
    assert _end(cloud, job) == "failed"
    with pytest.raises(JobError, match=r"stopped after \d+ of 20000 steps.*time ran out"):
        jobs.result(cloud, job)


def test_a_refused_job_says_why_in_its_failure_object(cloud: Cloud, submit: Callable) -> None:
    job = submit("refused-job", n_step=4)
    assert _end(cloud, job) == "failed"
    with pytest.raises(JobError, match=r"n_step.*Did you mean n_steps"):
        jobs.result(cloud, job)
    assert "refused-job" not in _staged(cloud)


@pytest.mark.promise(
    "A killed training publishes nothing",
    fault="kill -9 of the trainer",
    outcome="the job fails; the next one completes",
)
def test_a_killed_training_publishes_nothing_and_the_next_job_works(
    cloud: Cloud, endpoint: str, submit: Callable
) -> None:
    job = submit("killed-job", n_steps=20_000)
    worker = _worker_of(cloud, endpoint, "killed-job")
    os.kill(worker, signal.SIGKILL)
    assert _end(cloud, job) == "failed"
    assert "killed-job" not in _staged(cloud)
    following = submit("following-job")
    assert _end(cloud, following) == "completed", jobs.failure_text(cloud, following)


def _worker_of(cloud: Cloud, endpoint: str, job: str) -> int:
    """The process that is training, once it has taken a step."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        lines = [str(line) for line in read_logs(cloud, endpoint)]
        if any(one.stage == "step" for one in read_progress(lines, job)):
            started = [line for line in lines if "started python process" in line]
            return int(started[-1].rsplit(" ", 1)[1])
        time.sleep(0.3)
    raise AssertionError("the training never began")
