"""The service is killed and starts again: all that was made is there, each job is told once."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.cloud import jobs
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.scaling import scale_with_queue
from helpers.cloud.session import Cloud, open_cloud
from helpers.cloud.topics import Topics, create_topics
from helpers.local.async_queue import AsyncQueue
from helpers.local.journal import Journal
from helpers.local.launch import find, stop
from helpers.local.store import now
from helpers.s3 import split_uri
from helpers.settings import Settings
from tests.cloud.accounts import start_job
from tests.local.conftest import model_archive
from tests.local.jobs import send, wait
from tests.local.planes import own_context
from tests.local.processes import ended

SLOW_S = 120  # for a busy machine


def kill(settings: Settings) -> None:
    service = find(settings)
    assert service
    os.kill(service.pid, signal.SIGKILL)
    assert ended(service.pid, within_s=SLOW_S)


def deploy(cloud: Cloud, folder: Path, **named: Any) -> tuple[str, Topics]:
    topics = create_topics(cloud, cloud.ledger(), "restart")
    name = deploy_async(
        cloud,
        cloud.ledger(),
        name="restart",
        image=djl_image(cloud.region),
        model_data=model_archive(folder, properties="minWorkers=1\nmaxWorkers=1\n"),
        instance_type="ml.g5.xlarge",
        success_topic=topics.success,
        error_topic=topics.error,
        **named,
    ).endpoint
    wait_in_service(cloud, name, timeout_s=SLOW_S)
    return name, topics


def training(cloud: Cloud) -> dict[str, Any]:
    sagemaker = cloud.client("sagemaker")
    (only,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    return sagemaker.describe_training_job(TrainingJobName=only["TrainingJobName"])


def read_all(cloud: Cloud, topics: Topics) -> list[str]:
    """The inference ids of every message that waits."""
    found = []
    while got := jobs.notifications(cloud, topics.queue_url, wait_s=1):
        found += [one.inference_id for one in got]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("restart")


@pytest.fixture(scope="module")
def killed(folder: Path) -> Iterator[Cloud]:
    """A service that was filled, killed while a job ran and three waited, and started again."""
    settings = Settings(fast=True, threads=1, state=folder / "state", learner="restart")
    before = open_cloud(settings)
    name, _ = deploy(before, folder, max_concurrent=1)
    scale_with_queue(before, before.ledger(), "restart", least=1)
    s3 = before.client("s3")
    s3.put_object(
        Bucket=before.bucket, Key="a b/ü+", Body=b"kept", Metadata={"a_b": "c"},
        Tagging="one=two", ContentType="text/x",
    )  # fmt: skip
    for number in range(3):
        s3.put_object(Bucket=before.bucket, Key=f"gone/{number}", Body=b"gone")
    doomed = [{"Key": f"gone/{number}"} for number in range(3)]
    s3.delete_objects(Bucket=before.bucket, Delete={"Objects": doomed})
    s3.put_object(Bucket=before.bucket, Key="twice", Body=b"first")
    s3.put_object(Bucket=before.bucket, Key="twice", Body=b"second")
    (folder / "large").write_bytes(os.urandom(1 << 20) * 10)
    before.upload(folder / "large", "large")
    first = send(before, name, do="echo")
    assert wait(before, first, within_s=SLOW_S) == "completed"
    sent = [first] + [
        send(before, name, do="mark", file=str(folder / "marks"), until=until, job=number)
        for number, until in enumerate([str(folder / "go"), "", "", ""])
    ]
    script = f"import os, time\nwhile not os.path.exists({str(folder / 'go')!r}): time.sleep(0.05)"
    start_job(before, before.ledger(), folder, script)
    until = time.monotonic() + SLOW_S
    while time.monotonic() < until and not (
        (folder / "marks").exists() and training(before)["SecondaryStatus"] == "Training"
    ):
        time.sleep(0.02)
    (folder / "jobs.json").write_text(json.dumps([job.to_json() for job in sent]))
    kill(settings)
    after = open_cloud(settings)
    (folder / "go").touch()
    yield after
    stop(settings)


@pytest.mark.promise(
    "No job is lost, done twice or told twice",
    fault="kill -9 of the service while a job runs and others wait",
    outcome="what waited runs once, what ran is begun again; one object and one message each",
)
def test_what_waited_and_what_ran_is_done_and_told_once(killed: Cloud, folder: Path) -> None:
    texts = json.loads((folder / "jobs.json").read_text())
    sent = [jobs.Job.from_json(text) for text in texts]
    topics = create_topics(killed, killed.ledger(), "restart")
    assert {wait(killed, job, within_s=SLOW_S) for job in sent} == {"completed"}
    assert Counter(read_all(killed, topics)) == Counter(job.inference_id for job in sent)
    marks = Counter((folder / "marks").read_text().split())
    ended_marks = {mark: n for mark, n in marks.items() if mark.startswith("end")}
    assert ended_marks == {f"end-{number}": 1 for number in range(4)}
    assert marks["begin-0"] == 2, "the one that ran began again"
    assert all(marks[f"begin-{number}"] == 1 for number in range(1, 4)), "the others only once"
    keys = killed.client("s3").list_objects_v2(Bucket=killed.bucket, Prefix=killed.prefix)
    failures = [one["Key"] for one in keys["Contents"] if "error" in one["Key"]]
    assert failures == []


@pytest.mark.promise(
    "A training job goes on",
    fault="kill -9 of the service while it runs",
    outcome="begun again, from its checkpoints if it has any; Completed",
)
def test_a_training_job_is_begun_again_and_completes(killed: Cloud) -> None:
    until = time.monotonic() + SLOW_S
    while training(killed)["TrainingJobStatus"] == "InProgress" and time.monotonic() < until:
        time.sleep(0.1)
    shown = training(killed)
    assert shown["TrainingJobStatus"] == "Completed", shown.get("FailureReason")
    stages = [one["Status"] for one in shown["SecondaryStatusTransitions"]]
    assert stages.count("Training") == 2 and "Interrupted" in stages


@pytest.mark.promise(
    "A job that ends the service each time does not do so for ever",
    fault="three ends of the service while a container works on the same job",
    outcome="it fails and says so; the next one waits its turn",
)
def test_a_job_that_was_begun_three_times_fails_and_says_so(cloud: Cloud, tmp_path: Path) -> None:
    journal = Journal()
    told = {
        "endpoint": "e", "inference_id": "one", "input_location": "", "content_type": "a/b",
        "accept": "", "custom_attributes": "", "timeout_s": 10, "ttl_s": 60,
        "received": now().isoformat(),
    }  # fmt: skip
    for name in ("thrice", "twice"):
        places = {
            "output_location": cloud.uri("restart", f"{name}.out"),
            "failure_location": cloud.uri("restart", f"{name}-error.out"),
        }
        number = journal.add_job("e", {**told, **places}, b"{}")
        for _ in range(3 if name == "thrice" else 2):
            journal.begin_job(number)
    with own_context(cloud, tmp_path) as context:
        queue = AsyncQueue(replace(context, journal=journal), dict)
        queue.take_up("e")()
        assert queue.backlog == 1
    bucket, key = split_uri(cloud.uri("restart", "thrice-error.out"))
    said = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert b"ended 3 times" in said
    assert [job.begun for job in journal.jobs("e")] == [2]


@pytest.mark.promise(
    "Endpoints come back",
    fault="kill -9 of the service, and a new start",
    outcome="InService again, with tags, models, scaling and alarms",
)
def test_the_endpoint_serves_again_with_all_that_belongs_to_it(killed: Cloud) -> None:
    sagemaker, name = killed.client("sagemaker"), killed.name("restart")
    wait_in_service(killed, name, timeout_s=SLOW_S)
    shown = sagemaker.describe_endpoint(EndpointName=name)
    tags = sagemaker.list_tags(ResourceArn=shown["EndpointArn"])["Tags"]
    assert {"Key": "avatar-owner", "Value": "restart"} in tags
    assert len(sagemaker.list_models()["Models"]) == 1
    with pytest.raises(ClientError, match="already existing endpoint"):
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=shown["EndpointConfigName"])


def test_topics_policies_and_alarms_are_there_by_their_names(killed: Cloud) -> None:
    subscriptions = killed.client("sns").list_subscriptions()["Subscriptions"]
    assert len(subscriptions) == 2
    scaling = killed.client("application-autoscaling")
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    (alarm,) = killed.client("cloudwatch").describe_alarms()["MetricAlarms"]
    wake = next(one for one in policies if one["PolicyType"] == "StepScaling")
    assert alarm["AlarmActions"] == [wake["PolicyARN"]], "the alarm still finds its policy"
    assert len(policies) == 2


@pytest.mark.promise(
    "S3 keeps its objects",
    fault="kill -9 of the service, and a new start",
    outcome="bodies, metadata and tags as they were; what was deleted is gone",
)
def test_objects_are_as_they_were(killed: Cloud, folder: Path) -> None:
    s3 = killed.client("s3")
    found = s3.get_object(Bucket=killed.bucket, Key="a b/ü+")
    assert found["Body"].read() == b"kept"
    assert (found["Metadata"], found["ContentType"]) == ({"a_b": "c"}, "text/x")
    tags = s3.get_object_tagging(Bucket=killed.bucket, Key="a b/ü+")["TagSet"]
    assert tags == [{"Key": "one", "Value": "two"}]
    assert s3.get_object(Bucket=killed.bucket, Key="twice")["Body"].read() == b"second"
    assert "Contents" not in s3.list_objects_v2(Bucket=killed.bucket, Prefix="gone/")
    s3.download_file(killed.bucket, f"{killed.prefix}/large", str(folder / "back"))
    assert (folder / "back").read_bytes() == (folder / "large").read_bytes()
    tags = s3.get_bucket_tagging(Bucket=killed.bucket)["TagSet"]
    assert {"Key": "avatar-owner", "Value": "restart"} in tags


def test_all_of_it_is_for_the_owner_alone(killed: Cloud) -> None:
    state = killed.settings.state
    for path in [*state.glob("service.*"), *(state / "service.objects").iterdir()]:
        if path.name in ("service.alive", "service.starting"):
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_what_is_deleted_leaves_no_file(killed: Cloud) -> None:
    s3, folder = killed.client("s3"), killed.settings.state / "service.objects"
    before = set(folder.iterdir())
    s3.put_object(Bucket=killed.bucket, Key="short", Body=b"one")
    s3.put_object(Bucket=killed.bucket, Key="short", Body=b"two")
    assert len(set(folder.iterdir()) - before) == 1
    s3.delete_object(Bucket=killed.bucket, Key="short")
    assert set(folder.iterdir()) == before


def test_a_change_is_whole_or_did_not_happen(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with pytest.raises(KeyError), journal.change():
        journal.save("thing", "one", {})
        raise KeyError
    assert journal.all("thing") == {}
    journal.save("thing", "two", {"a": 1})
    journal.close()
    journal.save("thing", "two", {"a": 2})
    assert Journal(tmp_path / "journal").all("thing") == {"two": {"a": 1}}


@pytest.mark.promise(
    "A damaged journal does not keep the service from starting",
    fault="random bytes in its place",
    outcome="it is put aside, the log says so, and a new one begins",
)
def test_a_damaged_journal_is_put_aside_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal").write_bytes(os.urandom(8192))
    journal = Journal(tmp_path / "journal")
    journal.save("thing", "one", {})
    assert (tmp_path / "journal.damaged").exists()
    assert "journal.damaged" in capsys.readouterr().out


def test_a_message_that_went_out_ends_its_job_and_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    numbers = [journal.add_job("e", {"n": number}, b"body") for number in range(3)]
    for number in numbers[:2]:
        journal.begin_job(number)
        journal.answer_job(number, "topic", "the same words")
    journal.said("topic", "the same words")
    journal.said("topic", "other words")
    kept = Journal(tmp_path / "journal").jobs("e")
    assert [(job.number, job.begun, job.message) for job in kept] == [
        (numbers[1], 1, "the same words"),
        (numbers[2], 0, None),
    ]
