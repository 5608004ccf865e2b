"""An asynchronous endpoint: its queue, what it leaves behind, and the workers that die."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.cloud import jobs
from helpers.cloud.logs import read_logs
from helpers.cloud.session import Cloud
from helpers.cloud.topics import Topics
from helpers.errors import JobError
from helpers.local import async_queue, notify
from helpers.local.async_queue import AsyncQueue, AsyncRequest
from helpers.local.container_log import ContainerLog
from helpers.local.context import Context
from helpers.local.fleet import Instance
from helpers.local.guard import Guard
from helpers.local.hosts import Answer, Invocation
from helpers.local.launch import find
from helpers.local.notify import Notice
from helpers.s3 import split_uri
from tests.local.conftest import Deploy
from tests.local.jobs import failure, run, send, wait
from tests.local.processes import ended


def message_of(cloud: Cloud, topics: Topics, job: jobs.Job) -> jobs.Notification:
    """The one message of a job, out of those of every other job."""
    found = []
    for _ in range(20):
        found += jobs.notifications(cloud, topics.queue_url, wait_s=1)
        mine = [item for item in found if item.inference_id == job.inference_id]
        if mine:
            assert len(mine) == 1
            return mine[0]
    raise AssertionError("no message came")


def exists(cloud: Cloud, location: str) -> bool:
    bucket, key = split_uri(location)
    found = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix=key)
    return found["KeyCount"] > 0


def test_a_job_leaves_its_result_and_a_success_message(
    cloud: Cloud, deploy: Deploy, topics: Topics, tmp_path: Path
) -> None:
    endpoint = deploy()
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"do": "echo", "word": "café"}))
    job = jobs.submit(cloud, endpoint, request, timeout_s=60)
    again = jobs.Job.from_json(job.to_json())
    assert wait(cloud, again) == "completed"
    assert jobs.result(cloud, again)["word"] == "café"
    assert not exists(cloud, job.failure_location)
    message = message_of(cloud, topics, job).message
    assert message["invocationStatus"] == "Completed"
    assert message["responseParameters"]["outputLocation"] == job.output_location
    assert message["requestParameters"] == {
        "accept": "application/json",
        "contentType": "application/gzip",
        "endpointName": endpoint,
        "inputLocation": job.input_location,
    }
    assert (message["eventSource"], message["eventName"], message["eventVersion"]) == (
        "aws:sagemaker", "InferenceResult", "1.0",
    )  # fmt: skip
    assert message["receivedTime"] <= message["eventTime"]
    assert "failureReason" not in message


@pytest.mark.promise(
    "A failed job says why, and the next is served",
    fault="a handler that raises",
    outcome="a failure object, an error message, no output object",
)
def test_a_failing_handler_leaves_a_failure_object_and_an_error_message(
    cloud: Cloud, deploy: Deploy, topics: Topics
) -> None:
    endpoint = deploy()
    job = send(cloud, endpoint, do="fail")
    assert wait(cloud, job) == "failed"
    assert not exists(cloud, job.output_location)
    with pytest.raises(JobError, match=r"failed\. The photos are blurred\. The container's log"):
        jobs.result(cloud, job)
    assert '"code": 424' in (jobs.failure_text(cloud, job) or "")
    notification = message_of(cloud, topics, job)
    assert notification.status == "Failed"
    assert "error (424) from primary" in notification.failure_reason
    assert "responseParameters" not in notification.message
    assert run(cloud, endpoint, do="echo")["do"] == "echo", "the next request is served"


@pytest.mark.parametrize(
    ("do", "said"),
    [
        ("forget", ["507", "no room for the model"]),
        ("text", ["424", "Invalid output type"]),
        ("leave", ["424", "enough"]),
    ],
)
def test_a_handler_that_does_not_answer_as_it_should(
    cloud: Cloud, shared: str, do: str, said: list[str]
) -> None:
    text = failure(cloud, shared, do=do)
    assert all(part in text for part in said), text
    assert run(cloud, shared, do="echo")


@pytest.mark.promise(
    "A killed worker costs its own job alone",
    fault="kill -9 of a worker in the middle of a job",
    outcome="failure object and error message say killed; the next job runs in a new process",
)
def test_a_killed_worker_fails_its_job_and_the_next_one_finds_a_new_worker(
    cloud: Cloud, shared: str, topics: Topics
) -> None:
    before = run(cloud, shared, do="echo")["pid"]
    job = send(cloud, shared, do="kill")
    assert wait(cloud, job) == "failed"
    assert "killed" in (jobs.failure_text(cloud, job) or "")
    assert "killed" in message_of(cloud, topics, job).failure_reason
    assert run(cloud, shared, do="echo")["pid"] != before


@pytest.mark.promise(
    "A worker that hangs is ended with all it started",
    fault="a handler that outlasts its time and has a child",
    outcome="the job fails by name within seconds; worker and child are gone",
)
def test_a_worker_beyond_predict_timeout_is_killed_with_its_children(
    cloud: Cloud, deploy: Deploy
) -> None:
    endpoint = deploy(properties="option.predict_timeout=1\n")
    before = run(cloud, endpoint, do="echo")["pid"]
    began = time.monotonic()
    assert "predict timed out after 1 s" in failure(cloud, endpoint, do="orphan", seconds=60)
    assert time.monotonic() - began < 10
    assert run(cloud, endpoint, do="echo")["pid"] != before
    log = [line.text for line in read_logs(cloud, endpoint)]
    child = json.loads(next(text for text in log if text.startswith('{"child"')))["child"]
    assert ended(child)


@pytest.mark.promise(
    "A job past its timeout publishes nothing later",
    fault="a handler that answers after `InvocationTimeoutSeconds`",
    outcome="a failure object; the late answer never becomes an output object",
)
def test_the_invocation_timeout_fails_the_job_and_leaves_one_object(
    cloud: Cloud, deploy: Deploy
) -> None:
    endpoint = deploy()
    job = send(cloud, endpoint, timeout_s=1, do="sleep", seconds=2)
    assert wait(cloud, job) == "failed"
    assert run(cloud, endpoint, do="echo"), "the worker ended its late work and serves again"
    assert not exists(cloud, job.output_location), "a late answer must not become a result"


@pytest.mark.promise(
    "Jobs run as many at a time as asked, in the order in which they came",
    fault="four jobs at once, two at a time",
    outcome="two run, two wait; nobody is passed",
)
def test_requests_run_as_many_at_a_time_as_asked_and_first_in_first_out(
    cloud: Cloud, deploy: Deploy
) -> None:
    endpoint = deploy(max_concurrent=2, properties="minWorkers=2\nmaxWorkers=2\n")
    sent = [send(cloud, endpoint, do="sleep", seconds=0.5) for _ in range(4)]
    assert {wait(cloud, job) for job in sent} == {"completed"}
    spans = [jobs.result(cloud, job) for job in sent]
    began = [span["began"] for span in spans]
    first, second, third, fourth = spans
    assert len({span["pid"] for span in spans}) == 2
    assert abs(first["began"] - second["began"]) < 0.4, "two ran at once"
    assert min(third["began"], fourth["began"]) >= min(first["ended"], second["ended"]) - 0.05
    assert max(began[:2]) <= min(began[2:]), "in the order in which they came"


def test_one_at_a_time_means_one(cloud: Cloud, deploy: Deploy) -> None:
    endpoint = deploy(max_concurrent=1, properties="minWorkers=2\nmaxWorkers=2\n")
    sent = [send(cloud, endpoint, do="sleep", seconds=0.3) for _ in range(3)]
    spans = [jobs.result(cloud, job) for job in sent if wait(cloud, job)]
    for earlier, later in itertools.pairwise(spans):
        assert later["began"] >= earlier["ended"] - 0.05


@pytest.mark.promise(
    "A job whose input is gone fails in words",
    fault="an input location without an object",
    outcome="a failure object that names the key",
)
def test_an_input_that_is_not_there_fails_the_job_in_words(cloud: Cloud, shared: str) -> None:
    answer = cloud.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=shared, InputLocation=cloud.uri("requests", "nowhere.tar.gz")
    )
    bucket, key = split_uri(answer["FailureLocation"])
    s3 = cloud.client("s3")
    s3.get_waiter("object_exists").wait(
        Bucket=bucket, Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
    assert b"nowhere.tar.gz" in s3.get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.mark.promise(
    "No job waits for an endpoint that is gone",
    fault="an endpoint deleted while one job runs and one waits",
    outcome="both fail within seconds",
)
def test_a_deleted_endpoint_fails_what_waits_and_what_runs(cloud: Cloud, deploy: Deploy) -> None:
    endpoint = deploy(max_concurrent=1)
    running = send(cloud, endpoint, do="sleep", seconds=30)
    waiting = send(cloud, endpoint, do="echo")
    time.sleep(0.3)
    cloud.client("sagemaker").delete_endpoint(EndpointName=endpoint)
    assert wait(cloud, running, within_s=10) == "failed"
    assert wait(cloud, waiting, within_s=10) == "failed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"InvocationTimeoutSeconds": 3601}, "less than or equal to 3600"),
        ({"RequestTTLSeconds": 59}, "valid min value: 60"),
        ({"Body": b"x" * 128_001}, "128,000"),
        ({"Body": b"x", "InputLocation": "s3://bucket/key"}, "exactly one of"),
        ({"InputLocation": "ftp://bucket/key"}, "regular expression"),
        ({}, "exactly one of"),
    ],
)
def test_limits_of_an_invocation_are_checked(
    careless: Callable[[str], Any], shared: str, change: dict, said: str
) -> None:
    with pytest.raises(ClientError) as refused:
        careless("sagemaker-runtime").invoke_endpoint_async(EndpointName=shared, **change)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert said in str(refused.value)


def test_the_output_goes_where_the_request_says(cloud: Cloud, shared: str) -> None:
    answer = cloud.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=shared,
        Body=b'{"do": "echo"}',
        Filename="portrait.json",
        S3OutputPathExtension="ada/first",
    )
    assert answer["OutputLocation"].endswith(f"{shared}/output/ada/first/portrait.json")


def test_a_synchronous_call_is_refused(cloud: Cloud, shared: str) -> None:
    with pytest.raises(ClientError, match="asynchronous endpoint") as refused:
        cloud.client("sagemaker-runtime").invoke_endpoint(EndpointName=shared, Body=b"{}")
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_a_container_sees_what_a_container_would(cloud: Cloud, deploy: Deploy) -> None:
    endpoint = deploy(
        properties="minWorkers=1\n", environment={"FAVOURITE": "7", "OPTION_GREETING": "good day"}
    )
    seen = run(cloud, endpoint, do="see")
    environment = seen["environment"]
    assert environment["FAVOURITE"] == "7"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert not [name for name in environment if name.startswith("AVATAR_")]
    assert environment["HOME"] != str(Path.home())
    assert seen["options"]["greeting"] == "good day", "OPTION_* wins over serving.properties"
    assert seen["options"]["model_dir"] == seen["folder"]
    assert seen["helpers"] == "the archive"
    assert str(Path(__file__).resolve().parents[2]) not in seen["path"]
    assert seen["headers"]["X-Amzn-SageMaker-Custom-Attributes"] == "colour=blue"
    assert seen["headers"]["Content-Type"] == "application/json"


def test_the_log_tells_what_a_container_did(cloud: Cloud, shared: str) -> None:
    run(cloud, shared, do="echo")
    for _ in range(40):
        texts = [line.text for line in read_logs(cloud, shared)]
        if "asked to echo" in texts:
            break
        time.sleep(0.1)
    assert "asked to echo" in texts
    assert any(text.startswith("[djl] 200 OK") for text in texts)
    files = list((cloud.settings.state / "logs" / shared).glob("AllTraffic-*.log"))
    assert len(files) == 1
    assert "Z asked to echo" in files[0].read_text()


@pytest.fixture
def context(cloud: Cloud, tmp_path: Path) -> Iterator[Context]:
    """Of the service that runs, for parts of it in this process."""
    service = find(cloud.settings)
    assert service
    guard = Guard(tmp_path / "work")
    yield Context(
        url=service.url, access_key=service.access_key, secret_key=service.secret_key,
        region=service.region, work=tmp_path / "work", logs=tmp_path / "logs",
        state=tmp_path, threads=1, settle=0, guard=guard,
    )  # fmt: skip
    guard.close()


@pytest.fixture
def queue(
    cloud: Cloud, context: Context, tmp_path: Path
) -> Iterator[tuple[AsyncQueue, list[Invocation]]]:
    """A queue in this process, for limits that take too long, or too much, to reach for real."""
    invoked: list[Invocation] = []
    log = ContainerLog(
        path=tmp_path / "log",
        group="/queue",
        stream=tmp_path.name,
        logs_client=cloud.client("logs"),
    )

    class Recorder:
        def invoke(self, invocation: Invocation, timeout_s: float) -> Answer:
            invoked.append(invocation)
            return Answer(status=200, body=b"{}")

        def start(self) -> None: ...
        def stop(self) -> None: ...

    made = AsyncQueue(context, lambda: {"OutputConfig": {}})
    made.serve(Instance(id="i-1", host=Recorder(), log=log))
    yield made, invoked
    made.close()
    log.close()


def in_process(cloud: Cloud, **change: Any) -> AsyncRequest:
    number = str(uuid.uuid4())
    asked: dict[str, Any] = {
        "endpoint": "e", "inference_id": number, "input_location": "", "content_type": "a/b",
        "output_location": cloud.uri("queue", f"{number}.out"), "accept": "",
        "failure_location": cloud.uri("queue", f"{number}-error.out"), "custom_attributes": "",
        "body": b"{}", "timeout_s": 10, "ttl_s": 60,
    }  # fmt: skip
    return AsyncRequest(**{**asked, **change})


def failure_of(cloud: Cloud, request: AsyncRequest) -> str:
    bucket, key = split_uri(request.failure_location)
    s3 = cloud.client("s3")
    waiter = s3.get_waiter("object_exists")
    waiter.wait(Bucket=bucket, Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


@pytest.mark.promise(
    "A job past its time to live is never begun",
    fault="a job that waited longer than it may",
    outcome="it fails as expired; no container sees it",
)
def test_a_request_that_waited_too_long_never_reaches_a_container(
    cloud: Cloud, queue: tuple[AsyncQueue, list[Invocation]]
) -> None:
    old = in_process(cloud, received=datetime.now(UTC) - timedelta(seconds=61))
    queue[0].put(old)
    assert "expired" in failure_of(cloud, old)
    assert queue[1] == []


@pytest.mark.promise(
    "It expires without an instance, too",
    fault="a queue that nobody works on",
    outcome="the old job expires, the fresh one still waits",
)
def test_a_request_expires_while_no_instance_is_there_to_take_it(
    cloud: Cloud, context: Context
) -> None:
    asleep = AsyncQueue(context, lambda: {"OutputConfig": {}})
    long_ago = datetime.now(UTC) - timedelta(seconds=61)
    old, fresh = in_process(cloud, received=long_ago), in_process(cloud)
    asleep.put(old)
    asleep.put(fresh)
    asleep.expire()
    assert "expired" in failure_of(cloud, old)
    assert asleep.backlog == 1, "the other still waits"
    assert not exists(cloud, fresh.failure_location)
    asleep.close()


@pytest.mark.promise(
    "What is too large is refused at the door",
    fault="an input above the limit",
    outcome="the job fails with its size; no container sees it",
)
def test_an_input_above_the_limit_never_reaches_a_container(
    cloud: Cloud,
    queue: tuple[AsyncQueue, list[Invocation]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_queue, "MAX_INPUT_BYTES", 5)
    location = cloud.uri("queue", "input")
    bucket, key = split_uri(location)
    for body, reaches in ((b"123456", False), (b"12345", True)):
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        asked = in_process(cloud, body=None, input_location=location)
        queue[0].put(asked)
        if reaches:
            assert wait_for(lambda: [one.body for one in queue[1]] == [b"12345"])
        else:
            assert "6 bytes" in failure_of(cloud, asked)


def wait_for(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    ("body", "inline"),
    [
        (b'{"a": 1}', {"content": '{"a": 1}', "encoding": "UTF-8"}),
        (b"\xff\xd8", {"content": "/9g=", "encoding": "BASE64"}),
        (b"x" * 131_073, None),
    ],
)
def test_a_message_carries_a_small_response_if_asked(
    cloud: Cloud, body: bytes, inline: dict[str, str] | None
) -> None:
    notice = Notice(request=in_process(cloud), answer=Answer(status=200, body=body))
    assert notify.message("us-east-1", notice, with_response=True).get("responseBody") == inline
    assert "responseBody" not in notify.message("us-east-1", notice)
