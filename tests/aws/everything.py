"""A program that does all that the course does on AWS, once and small."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from helpers.archives import pack
from helpers.bases.folder import POCKET
from helpers.bases.store import copy_base, find_base, upload_base
from helpers.cloud.cleanup import clean_up
from helpers.cloud.costs import extend
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.jobs import follow, notifications, result, submit
from helpers.cloud.ledger import Ledger
from helpers.cloud.meter import running
from helpers.cloud.metrics import memory_of
from helpers.cloud.needs import quota_name
from helpers.cloud.quota_requests import request_increase, request_status
from helpers.cloud.quotas import quota_report
from helpers.cloud.renew import renew_instances
from helpers.cloud.scaling import activities, scale_with_queue, send_to_sleep
from helpers.cloud.serving_image import build_serving_image
from helpers.cloud.session import Cloud, open_cloud
from helpers.cloud.topics import create_topics
from helpers.cloud.training_jobs import follow as follow_training
from helpers.cloud.training_jobs import look, stop_training
from helpers.errors import CourseError
from helpers.hosting.client import AvatarClient
from helpers.settings import ROOT
from helpers.tuning.package import stage_training_service
from tests.cloud.accounts import start_job

HANDLER = b"""
from djl_python import Output

def handle(inputs):
    if not inputs.is_empty():
        return Output().add_as_json({"bytes": len(inputs.get_as_bytes())})
"""


def main() -> None:
    cloud = open_cloud()
    ledger = cloud.ledger()
    put_base(cloud, ledger)
    with tempfile.TemporaryDirectory() as folder:
        ask_for_quotas(cloud)
        build_image(cloud, ledger, Path(folder) / "repository")
        keep_base(cloud, ledger)
        fine_tune(cloud, ledger, Path(folder))
        train(cloud, ledger, Path(folder))
    print(running(cloud, ledger))
    extend(cloud, "everything", 1)
    renew_instances(cloud, ledger, "everything")
    scale(cloud, ledger)
    with suppress(CourseError):  # nobody serves it, but it is asked for
        AvatarClient(cloud.client("sagemaker-runtime"), cloud.name("nobody")).paint("a", "prompt")
    print(clean_up(cloud, ledger, personal_data=True).require_empty())


def ask_for_quotas(cloud: Cloud) -> None:
    quota_report(cloud)
    more = quota_name("ml.g5.4xlarge", "hosting")
    assert request_increase(cloud, more, 1, confirm=True).id
    request_status(cloud, more)


def put_base(cloud: Cloud, ledger: Ledger) -> None:
    upload_base(cloud, ledger, ROOT / "models" / "pocket")
    stored = find_base(cloud, "pocket")
    copy_base(cloud.client("s3"), stored, cloud.uri("models", "everything", "base"))


def build_image(cloud: Cloud, ledger: Ledger, repository: Path) -> None:
    base = repository / "avatar_base"
    base.mkdir(parents=True)
    (base / "config.pbtxt").write_text("name: 'avatar_base'")
    build_serving_image(cloud, ledger, repository)


def keep_base(cloud: Cloud, ledger: Ledger) -> None:
    """In the bucket, and from there beside an endpoint's code: the U-Net is copied in parts."""
    stored = upload_base(cloud, ledger, POCKET)
    assert find_base(cloud, "pocket") == stored.uri
    stage_training_service(cloud, ledger, base_uri=stored.uri, staging_s3_uri=cloud.uri("staging"))


def fine_tune(cloud: Cloud, ledger: Ledger, folder: Path) -> None:
    topics = create_topics(cloud, ledger, "everything")
    members = {"model.py": HANDLER, "serving.properties": b"engine=Python\n"}
    deploy_async(
        cloud, ledger, name="everything", image=djl_image(cloud.region),
        model_data=pack(members, folder / "model.tar.gz"), instance_type="ml.g5.xlarge",
        success_topic=topics.success, error_topic=topics.error,
    )  # fmt: skip
    wait_in_service(cloud, "everything", timeout_s=60)
    request = pack({"photo.jpg": b"a face"}, folder / "request.tar.gz")
    job = submit(cloud, "everything", request)
    *_, last = follow(cloud, job)
    assert last.state == "completed", result(cloud, job)
    assert result(cloud, job) == {"bytes": request.stat().st_size}
    assert notifications(cloud, topics.queue_url)


def scale(cloud: Cloud, ledger: Ledger) -> None:
    wait_in_service(cloud, "everything", timeout_s=60)
    scale_with_queue(cloud, ledger, "everything")
    memory_of(cloud, "everything", since=time.time() - 600)
    send_to_sleep(cloud, "everything")
    wait_in_service(cloud, "everything", timeout_s=60)
    list(activities(cloud, "everything"))


def train(cloud: Cloud, ledger: Ledger, folder: Path) -> None:
    """A training job that works until it is stopped, and is left for clean-up."""
    script = "import time; print('begun', flush=True); time.sleep(60)"
    job = start_job(cloud, ledger, folder, script)
    status = look(cloud, job)
    for status in follow_training(cloud, job):
        if any(str(line) == "begun" for line in status.lines):
            stop_training(cloud, job)
    assert status.state == "Stopped", status


if __name__ == "__main__":
    main()
