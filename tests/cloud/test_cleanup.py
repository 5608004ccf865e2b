"""Clean-up: everything goes, nobody else's does, trouble is reported, and the proof is a look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from helpers.cloud import cleanup
from helpers.cloud.cleanup import clean_up, take_stock
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.kinds import Busy, is_passing, pauses
from helpers.cloud.kinds_hosting import RUNNING
from helpers.cloud.kinds_storage import NOT_PERSONAL
from helpers.cloud.resources import KINDS
from helpers.cloud.session import Cloud, open_cloud
from helpers.cloud.topics import create_topics
from helpers.errors import CleanUpError
from helpers.local.launch import stop
from helpers.local.statefile import JOURNAL
from tests.cloud.accounts import add_what_later_notebooks_make, full_account, what_is_left
from tests.cloud.faults import Faults
from tests.local.conftest import HANDLER, model_archive


def test_clean_up_empties_the_account_and_says_so(own_cloud: Cloud, tmp_path: Path) -> None:
    ledger = full_account(own_cloud, tmp_path)
    rehearsed = clean_up(own_cloud, ledger, personal_data=True, dry_run=True)
    assert what_is_left(own_cloud.client), "a dry run removes nothing"
    report = clean_up(own_cloud, ledger, personal_data=True)
    assert report.empty and report.require_empty() is report
    assert report.price_per_hour == 1.408
    assert {item.kind for item in report.removed} == set(KINDS)
    assert rehearsed.removed == report.removed
    assert "nothing is left" in str(report)
    assert what_is_left(own_cloud.client) == {}
    assert ledger.open() == []
    again = clean_up(own_cloud, ledger, personal_data=True)
    assert again.removed == [] and again.empty, "and a second one finds nothing"
    assert open_cloud(own_cloud.settings).bucket == own_cloud.bucket, "the course can begin again"


def test_names_are_enough_without_ledger_and_tags(
    own_cloud: Cloud, tmp_path: Path, faults: Faults
) -> None:
    """Tags are looked up in an index that lags behind; here it knows nothing at all."""
    ledger = full_account(own_cloud, tmp_path)
    ledger.path.unlink()
    faults.answer("resourcegroupstaggingapi", "GetResources", {"ResourceTagMappingList": []})
    clean_up(own_cloud, ledger, personal_data=True).require_empty()
    faults.end()
    assert what_is_left(own_cloud.client) == {}


def test_tags_are_enough_and_so_is_the_ledger(own_cloud: Cloud) -> None:
    """For things of names that nobody could guess."""
    sqs, sns, ledger = own_cloud.client("sqs"), own_cloud.client("sns"), own_cloud.ledger()
    tags = {tag["Key"]: tag["Value"] for tag in own_cloud.tags}
    sqs.create_queue(QueueName="tagged", tags=tags)
    sns.create_topic(Name="tagged", Tags=own_cloud.tags)
    sqs.create_queue(QueueName="written-down")
    ledger.planned("queue", "written-down")
    sqs.create_queue(QueueName="neither")
    clean_up(own_cloud, ledger, personal_data=True).require_empty()
    (url,) = what_is_left(own_cloud.client).pop("queues")
    assert url.endswith("/neither")


@pytest.mark.promise(
    "Nobody else's things go",
    fault="a learner whose name begins like another's, in the same bucket",
    outcome="all of theirs is still there",
)
def test_others_keep_what_is_theirs(own_cloud: Cloud, tmp_path: Path) -> None:
    """Also one whose name begins like ours, and who shares our bucket."""
    ours = replace(own_cloud, settings=replace(own_cloud.settings, learner="ada"), _clients={})
    theirs = replace(
        own_cloud, settings=replace(own_cloud.settings, learner="ada-two"), _clients={}
    )
    ledger = full_account(theirs, tmp_path)
    before = {item.name for item in take_stock(theirs).found if item.kind != "log-group"}
    create_topics(ours, ours.ledger(), "tune")
    ours.client("s3").put_object(Bucket=ours.bucket, Key=f"{ours.prefix}/photo.jpg", Body=b"")
    report = clean_up(ours, ours.ledger(), personal_data=True).require_empty()
    assert before <= {item.name for item in take_stock(theirs).found}
    assert {item.kind for item in report.removed} == {"topic", "queue", "subscription", "s3-prefix"}
    (kept, why), *more = report.kept
    assert (kept.kind, more) == ("bucket", []), "a bucket in use is kept, and that is no failure"
    assert "not the clean-up's to remove" in why
    assert ours.ledger().open() == []
    clean_up(theirs, ledger, personal_data=True).require_empty()
    assert list(what_is_left(own_cloud.client)) == ["buckets", "tags"]
    clean_up(ours, ours.ledger(), personal_data=True).require_empty()
    assert what_is_left(own_cloud.client) == {}


def test_a_bucket_that_was_there_before_stays(own_cloud: Cloud) -> None:
    s3 = own_cloud.client("s3")
    s3.delete_bucket_tagging(Bucket=own_cloud.bucket)
    s3.put_object(Bucket=own_cloud.bucket, Key=f"{own_cloud.prefix}/photo.jpg", Body=b"")
    report = clean_up(own_cloud, own_cloud.ledger(), personal_data=True).require_empty()
    assert [item.kind for item in report.removed] == ["s3-prefix"] and report.kept == []
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [own_cloud.bucket]


def test_photos_and_adapters_have_a_question_of_their_own(own_cloud: Cloud, tmp_path: Path) -> None:
    ledger = full_account(own_cloud, tmp_path)
    s3 = own_cloud.client("s3")
    personal = {f"{own_cloud.prefix}/{name}" for name in ("photo.jpg", "staging/a", "new/thing")}
    for key in [*personal, *(f"{own_cloud.prefix}/{name}/x" for name in NOT_PERSONAL)]:
        s3.put_object(Bucket=own_cloud.bucket, Key=key, Body=b"x")
    asynchronous = f"{own_cloud.prefix}/async/"

    report = clean_up(own_cloud, ledger, personal_data=False).require_empty()
    left = what_is_left(own_cloud.client)
    assert set(left) == {"objects", "buckets", "tags"}
    keys = {item["Key"] for item in left["objects"] if not item["Key"].startswith(asynchronous)}
    assert keys == personal
    assert {item.kind for item, _ in report.kept} == {"s3-prefix", "bucket"}
    assert [(entry.kind, entry.name) for entry in ledger.open()] == [
        ("bucket", own_cloud.bucket), ("s3-prefix", own_cloud.uri(""))
    ]  # fmt: skip
    clean_up(own_cloud, ledger, personal_data=True).require_empty()
    assert what_is_left(own_cloud.client) == {} and ledger.open() == []


@pytest.mark.slow
def test_more_than_a_thousand_objects_old_versions_and_uploads_go(own_cloud: Cloud) -> None:
    s3, bucket = own_cloud.client("s3"), own_cloud.bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(number: int) -> None:
        s3.put_object(Bucket=bucket, Key=f"{own_cloud.prefix}/photos/{number}", Body=b"x")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(1001)))
    put(0)
    s3.delete_object(Bucket=bucket, Key=f"{own_cloud.prefix}/photos/1")
    for _ in range(2):
        s3.create_multipart_upload(Bucket=bucket, Key=f"{own_cloud.prefix}/photos/0")
    assert len(what_is_left(own_cloud.client)["objects"]) == 1003
    clean_up(own_cloud, own_cloud.ledger(), personal_data=True).require_empty()
    assert what_is_left(own_cloud.client) == {}


@pytest.mark.parametrize("state", ["Creating", "Updating", "Failed"])
def test_an_endpoint_in_any_state_goes(own_cloud: Cloud, tmp_path: Path, state: str) -> None:
    ledger, sagemaker = own_cloud.ledger(), own_cloud.client("sagemaker")
    slow = f"import time; time.sleep(3)\n{HANDLER.read_text()}"
    broken = "raise ImportError('no such thing')"
    made = deploy_async(
        own_cloud, ledger, name="tune", image=djl_image(own_cloud.region),
        model_data=model_archive(tmp_path, handler=broken if state == "Failed" else slow),
        instance_type="ml.g5.xlarge",
    )  # fmt: skip
    if state == "Updating":
        wait_in_service(own_cloud, made.endpoint)
        sagemaker.update_endpoint(EndpointName=made.endpoint, EndpointConfigName=made.config)
    ends = time.monotonic() + 60
    while (found := _status(sagemaker, made.endpoint)) != state and time.monotonic() < ends:
        assert found == "Creating"
    said: list[str] = []
    clean_up(own_cloud, ledger, personal_data=True, tell=said.append).require_empty()
    assert what_is_left(own_cloud.client) == {}
    assert any(f"it is {state}" in line for line in said) is (state != "Failed")


def _status(sagemaker: Any, name: str) -> str:
    return sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]


@pytest.mark.promise(
    "What could not be removed is reported",
    fault="a call that AWS refuses",
    outcome="`CleanUpError` names it; all else is gone; the next run removes it",
)
def test_a_refused_removal_is_reported_and_keeps_nothing_else(
    own_cloud: Cloud, faults: Faults
) -> None:
    ledger = own_cloud.ledger()
    topics = create_topics(own_cloud, ledger, "tune")
    faults.refuse("sns", "DeleteTopic", "AuthorizationError", times=2 * cleanup.TRIES)
    report = clean_up(own_cloud, ledger, personal_data=True)
    assert [item.name for item, _ in report.failed] == [topics.error, topics.success]
    assert not report.empty and report.left == []
    with pytest.raises(CleanUpError, match=r"DeleteTopic was refused in a test"):
        report.require_empty()
    assert "FAILED topic" in str(report)
    assert set(what_is_left(own_cloud.client)) == {"topics", "tags"}
    assert {entry.kind for entry in ledger.open()} == {"topic"}
    again = clean_up(own_cloud, ledger, personal_data=True).require_empty()
    assert {item.kind for item in again.removed} == {"topic"}
    assert what_is_left(own_cloud.client) == {} and ledger.open() == []


def test_objects_that_s3_does_not_let_go_are_reported(own_cloud: Cloud, faults: Faults) -> None:
    """S3 answers 200 then."""
    key = f"{own_cloud.prefix}/photos/locked.jpg"
    own_cloud.client("s3").put_object(Bucket=own_cloud.bucket, Key=key, Body=b"x")
    refusal = {"Key": key, "Code": "AccessDenied", "Message": "the object is locked"}
    faults.answer("s3", "DeleteObjects", {"Errors": [refusal]})
    report = clean_up(own_cloud, own_cloud.ledger(), personal_data=True)
    (failed, why), *_ = report.failed
    assert failed.kind == "s3-prefix" and "the object is locked" in why
    assert [item.kind for item, _ in report.kept] == ["bucket"]


@pytest.mark.promise(
    "Throttling is waited out",
    fault="four refusals of a call",
    outcome="an empty account",
)
@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("sqs", "DeleteQueue"), ("sqs", "ListQueues"), ("sns", "ListTopics"),
        ("s3", "DeleteObjects"), ("s3", "ListObjectVersions"),
        ("resourcegroupstaggingapi", "GetResources"),
    ],
)  # fmt: skip
def test_throttled_calls_are_repeated(
    own_cloud: Cloud, faults: Faults, service: str, operation: str
) -> None:
    create_topics(own_cloud, own_cloud.ledger(), "tune")
    own_cloud.client("s3").put_object(
        Bucket=own_cloud.bucket, Key=f"{own_cloud.prefix}/x/y", Body=b""
    )
    refused = faults.refuse(service, operation, "ThrottlingException", times=4)
    clean_up(own_cloud, own_cloud.ledger(), personal_data=True).require_empty()
    assert len(refused) == 4 < len(pauses(own_cloud))
    assert what_is_left(own_cloud.client) == {}


def test_what_may_not_be_looked_at_is_not_called_gone(own_cloud: Cloud, faults: Faults) -> None:
    ledger = own_cloud.ledger()
    ledger.planned("alarm", "somewhere")
    faults.refuse("cloudwatch", "DescribeAlarms", "AccessDenied")
    report = clean_up(own_cloud, ledger, personal_data=True)
    assert {item.kind for item, _ in report.failed} == {"alarm"} and not report.empty
    assert [entry.kind for entry in ledger.open()] == ["alarm"]


def test_a_tagged_thing_that_nobody_knows_to_remove_is_left(
    own_cloud: Cloud, faults: Faults
) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:inference-component/avatar-ada--x"
    mapping = {"ResourceARN": arn, "Tags": own_cloud.tags}
    faults.answer("resourcegroupstaggingapi", "GetResources", {"ResourceTagMappingList": [mapping]})
    report = clean_up(own_cloud, own_cloud.ledger(), personal_data=True)
    ((thing, why),) = report.failed
    assert (thing.kind, thing.name) == ("unknown", arn)
    assert "does not know how to remove it" in why


@pytest.mark.promise(
    "Two clean-ups may run at once",
    fault="both at the same moment",
    outcome="an empty account, no failure",
)
def test_two_at_once_both_end_well(own_cloud: Cloud, tmp_path: Path) -> None:
    ledger = full_account(own_cloud, tmp_path)
    both = [replace(own_cloud, _clients={}) for _ in range(2)]
    for cloud in both:
        take_stock(cloud)  # makes the clients, which boto3 cannot do in two threads at once
    together = threading.Barrier(2)

    def clean(cloud: Cloud) -> cleanup.CleanUpReport:
        together.wait()
        return clean_up(cloud, ledger, personal_data=True)

    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(clean, both))
    assert [report.failed + report.left for report in reports] == [[], []]
    assert what_is_left(own_cloud.client) == {} and ledger.open() == []


@pytest.mark.promise(
    "An old ledger does not haunt a new service",
    fault="the service ended and its files were lost",
    outcome="the ledger is settled",
)
def test_a_ledger_older_than_the_service_is_settled(short_lived: Cloud) -> None:
    """As when somebody removed them to make room: its ledger must not haunt the next one."""
    ledger = short_lived.ledger()
    create_topics(short_lived, ledger, "tune")
    stop(short_lived.settings)
    for path in short_lived.settings.state.glob(f"{JOURNAL}*"):
        path.unlink()
    again = open_cloud(short_lived.settings)
    assert clean_up(again, ledger, personal_data=True).empty
    assert ledger.open() == []


def test_an_endpoint_that_stays_keeps_what_it_looks_at(
    own_cloud: Cloud, tmp_path: Path, faults: Faults, shorter: Callable[[float], None]
) -> None:
    """AWS: an endpoint without its configuration bills on, and nobody sees for which instance."""
    made = deploy_async(
        own_cloud, own_cloud.ledger(), name="tune", image=djl_image(own_cloud.region),
        model_data=model_archive(tmp_path), instance_type="ml.g5.xlarge",
    )  # fmt: skip
    wait_in_service(own_cloud, made.endpoint)
    description = own_cloud.client("sagemaker").describe_endpoint(EndpointName=made.endpoint)
    busy = {**description, "EndpointStatus": "Updating"}
    faults.answer("sagemaker", "DescribeEndpoint", busy)
    shorter(1.0)
    report = clean_up(own_cloud, own_cloud.ledger(), personal_data=True)
    whys = {item.kind: why for item, why in report.failed}
    assert whys["endpoint"] == "it is Updating"
    assert whys["endpoint-config"] == whys["model"] == "waits for endpoint"


def test_an_endpoint_that_may_not_be_deleted_keeps_it_too_and_nothing_else(
    own_cloud: Cloud, tmp_path: Path, faults: Faults
) -> None:
    ledger = full_account(own_cloud, tmp_path)
    faults.refuse("sagemaker", "DeleteEndpoint", "AccessDeniedException")
    report = clean_up(own_cloud, ledger, personal_data=True)
    whys = {item.kind: why for item, why in report.failed}
    assert set(whys) == {"endpoint", "endpoint-config", "model"}
    assert whys["endpoint-config"] == "endpoint avatar-ada--tune still needs it"
    left = {"endpoints", "configurations", "models", "tags"}
    assert set(what_is_left(own_cloud.client)) - {"log groups", "log streams"} == left
    faults.end()
    clean_up(own_cloud, ledger, personal_data=True).require_empty()
    assert what_is_left(own_cloud.client) == {}


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    yield lambda seconds: monkeypatch.setattr(cleanup, "REHEARSAL_S", seconds)


def test_a_training_job_is_stopped_and_then_deleted(own_cloud: Cloud) -> None:
    name = {"TrainingJobName": "avatar-ada--job"}
    rounds = (
        ("InProgress", "stop_training_job"),
        ("Stopping", ""),
        ("Stopped", "delete_training_job"),
    )
    waited: list[str] = []
    with Stubber(own_cloud.client("sagemaker")) as aws:
        for status, then in rounds:
            aws.add_response("describe_training_job", _job(status), name)
            if then:
                aws.add_response(then, {}, name)
            try:
                RUNNING["training-job"].remove(own_cloud, name["TrainingJobName"])
            except Busy as why:
                waited.append(str(why))
        aws.assert_no_pending_responses()
    assert waited == ["it is being stopped"] * 2


def _job(status: str) -> dict[str, Any]:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/avatar-ada--job"
    return {
        "TrainingJobName": "avatar-ada--job", "TrainingJobArn": arn, "TrainingJobStatus": status,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://x/y"}, "SecondaryStatus": "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"}, "CreationTime": 0,
        "ResourceConfig": {"VolumeSizeInGB": 1}, "StoppingCondition": {},
    }  # fmt: skip


def test_what_could_grow_goes_first_then_what_bills_and_the_bucket_last(
    own_cloud: Cloud,
) -> None:
    order = list(KINDS)
    assert order[:4] == ["scaling-policy", "scaling-target", "endpoint", "training-job"]
    assert order[-1] == "bucket"
    for name, kind in KINDS.items():
        for before in kind.after:
            assert order.index(before) < order.index(name), "else the first round is wasted"
    add_what_later_notebooks_make(own_cloud, own_cloud.name("tune"))
    kinds = [item.kind for item in take_stock(own_cloud).found]
    assert kinds == sorted(kinds, key=order.index)


def test_a_lost_connection_passes_and_a_refusal_does_not() -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

    def refusal(code: str, status: int = 400) -> ClientError:
        metadata: Any = {"HTTPStatusCode": status}
        return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "DeleteThing")

    assert is_passing(EndpointConnectionError(endpoint_url="https://x"))
    assert is_passing(refusal("Throttling")) and is_passing(refusal("Odd", 503))
    assert not is_passing(NoCredentialsError()) and not is_passing(refusal("AccessDenied", 403))
