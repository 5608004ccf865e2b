"""Clean-up: everything goes, also what a killed program left, and the proof is a look."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from helpers.cloud.cleanup import clean_up
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import KINDS, Resource, exists, tagged
from helpers.cloud.session import Cloud, open_cloud
from helpers.cloud.topics import create_topics
from helpers.errors import CleanUpError
from helpers.local.launch import stop
from helpers.settings import ROOT
from tests.local.conftest import model_archive
from tests.local.jobs import run


def full_account(cloud: Cloud, folder: Path) -> Ledger:
    """One of each kind of thing that the course creates."""
    ledger = cloud.ledger()
    topics = create_topics(cloud, ledger, "tune")
    made = deploy_async(
        cloud, ledger, name="tune", image=djl_image(cloud.region),
        model_data=model_archive(folder), instance_type="ml.g5.xlarge",
        success_topic=topics.success, error_topic=topics.error,
    )  # fmt: skip
    wait_in_service(cloud, made.endpoint)
    run(cloud, made.endpoint, do="echo")
    return ledger


def account(cloud: Cloud) -> list[object]:
    """Whatever the account's own listings show."""
    sagemaker, sns, logs = (cloud.client(name) for name in ("sagemaker", "sns", "logs"))
    return [
        *sagemaker.list_endpoints()["Endpoints"],
        *sagemaker.list_endpoint_configs()["EndpointConfigs"],
        *sagemaker.list_models()["Models"],
        *sns.list_topics()["Topics"],
        *sns.list_subscriptions()["Subscriptions"],
        *cloud.client("sqs").list_queues().get("QueueUrls", []),
        *logs.describe_log_groups()["logGroups"],
        *cloud.client("s3").list_buckets()["Buckets"],
        *cloud.client("resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"],
    ]


def test_clean_up_empties_the_account_and_says_so(own_cloud: Cloud, tmp_path: Path) -> None:
    ledger = full_account(own_cloud, tmp_path)
    assert ledger.price_per_hour() == 1.408
    rehearsed = clean_up(own_cloud, ledger, dry_run=True)
    assert account(own_cloud), "a dry run removes nothing"
    report = clean_up(own_cloud, ledger)
    assert report.empty and report.require_empty() is report
    assert report.price_per_hour == 1.408
    assert {item.kind for item in report.removed} == set(KINDS)
    assert set(rehearsed.removed) == set(report.removed)
    assert account(own_cloud) == []
    assert ledger.open() == []
    assert clean_up(own_cloud, ledger).removed == [], "and a second one finds nothing"
    assert open_cloud(own_cloud.settings).bucket == own_cloud.bucket, "the course can begin again"


def test_resources_of_a_lost_ledger_are_found_by_their_tags(
    own_cloud: Cloud, tmp_path: Path
) -> None:
    ledger = full_account(own_cloud, tmp_path)
    kinds = {item.kind for item in tagged(own_cloud)}
    assert kinds == set(KINDS) - {"subscription", "s3-prefix"}
    ledger.path.unlink()
    assert clean_up(own_cloud, ledger).empty
    assert account(own_cloud) == []


def test_others_keep_what_is_theirs(own_cloud: Cloud) -> None:
    s3, theirs = own_cloud.client("s3"), own_cloud.client("sqs").create_queue(QueueName="theirs")
    s3.put_object(Bucket=own_cloud.bucket, Key="avatar-course/ada-two/photo.jpg", Body=b"")
    s3.put_object(Bucket=own_cloud.bucket, Key="avatar-course/ada/photo.jpg", Body=b"")
    report = clean_up(own_cloud, own_cloud.ledger())
    found = s3.list_objects_v2(Bucket=own_cloud.bucket)["Contents"]
    assert [item["Key"] for item in found] == ["avatar-course/ada-two/photo.jpg"]
    assert theirs["QueueUrl"] in own_cloud.client("sqs").list_queues()["QueueUrls"]
    assert [item.kind for item in report.left] == ["bucket"], "a bucket in use is not emptied"
    with pytest.raises(CleanUpError, match=r"(?i)bucket sagemaker-us-east-1"):
        report.require_empty()


def test_old_versions_and_unfinished_uploads_go_too(own_cloud: Cloud) -> None:
    s3, bucket = own_cloud.client("s3"), own_cloud.bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    key = f"{own_cloud.prefix}/photo.jpg"
    for body in (b"first", b"second"):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    s3.delete_object(Bucket=bucket, Key=key)
    s3.create_multipart_upload(Bucket=bucket, Key=key)
    clean_up(own_cloud, own_cloud.ledger()).require_empty()
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket=bucket)


KILLED = """
import os, signal, sys
from pathlib import Path
from helpers.cloud.session import open_cloud
from helpers.cloud.topics import create_topics
from helpers.settings import Settings
cloud = open_cloud(Settings(fast=True, threads=1, state=Path(sys.argv[1]), learner="ada"))
ledger, moment = cloud.ledger(), sys.argv[2]
class Dying(type(ledger)):
    def planned(self, kind, name, **more):
        super().planned(kind, name, **more)
        if kind == "queue" and moment == "planned":
            os.kill(os.getpid(), signal.SIGKILL)
    def created(self, kind, name):
        if kind == "queue" and moment == "created":
            os.kill(os.getpid(), signal.SIGKILL)
        super().created(kind, name)
create_topics(cloud, Dying(ledger.path), "tune")
"""


@pytest.mark.parametrize("moment", ["planned", "created"])
def test_what_a_killed_program_left_is_found(own_cloud: Cloud, moment: str) -> None:
    """Killed just before the create call, and just after it, before the ledger knows."""
    state = str(own_cloud.settings.state)
    killed = subprocess.run([sys.executable, "-c", KILLED, state, moment], cwd=ROOT, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    ledger = own_cloud.ledger()
    queue = next(entry for entry in ledger.open() if entry.kind == "queue")
    assert queue.created is None
    assert exists(own_cloud, Resource(kind="queue", name=queue.name)) is (moment == "created")
    report = clean_up(own_cloud, ledger).require_empty()
    assert ("queue" in {item.kind for item in report.removed}) is (moment == "created")
    assert ledger.open() == [] == account(own_cloud)


def test_a_ledger_older_than_the_service_is_settled(own_cloud: Cloud, tmp_path: Path) -> None:
    """The local SageMaker forgets when it ends; its ledger must not haunt the next one."""
    ledger = full_account(own_cloud, tmp_path)
    stop(own_cloud.settings)
    again = open_cloud(own_cloud.settings)
    assert clean_up(again, ledger).empty
    assert ledger.open() == []


def test_an_endpoint_that_is_being_created_is_waited_for(own_cloud: Cloud, tmp_path: Path) -> None:
    ledger = own_cloud.ledger()
    deploy_async(
        own_cloud, ledger, name="tune", image=djl_image(own_cloud.region),
        model_data=model_archive(tmp_path), instance_type="ml.g5.xlarge",
    )  # fmt: skip
    clean_up(own_cloud, ledger).require_empty()
    assert account(own_cloud) == []
