"""Full and read-only disks, jumping clocks, an S3 that is cut or slow: told, and nothing lost."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.cloud.images import djl_image
from helpers.cloud.session import Cloud, open_cloud
from helpers.errors import ServiceError
from helpers.local import async_queue
from helpers.local.async_queue import AsyncQueue, AsyncRequest
from helpers.local.container_log import ContainerLog
from helpers.local.fleet import Instance
from helpers.local.hosts import Answer, Invocation
from helpers.local.journal import Journal
from helpers.local.launch import find, start
from helpers.local.store import now
from helpers.settings import Settings
from tests.local.planes import own_context

DROPS = 20


def request(**change: Any) -> AsyncRequest:
    asked: dict[str, Any] = {
        "endpoint": "e", "inference_id": "one", "input_location": "", "content_type": "a/b",
        "output_location": "s3://bucket/out", "failure_location": "s3://bucket/error",
        "accept": "", "custom_attributes": "", "body": b"{}", "timeout_s": 10, "ttl_s": 60,
    }  # fmt: skip
    return AsyncRequest(**{**asked, **change})


@pytest.mark.promise(
    "A full disk is said so, and costs nothing that was there",
    fault="no byte can be written by the service any more",
    outcome="`InsufficientStorage` in words for S3, SNS and SageMaker; the object before is whole; "
    "with room again everything is served",
)
def test_a_full_disk_is_said_so_and_nothing_is_lost(settings: Settings) -> None:
    cloud = open_cloud(settings)
    service = find(settings)
    assert service
    s3 = cloud.client("s3")
    s3.put_object(Bucket=cloud.bucket, Key="kept", Body=b"before")
    container = {"Image": djl_image(cloud.region)}
    config = {"ExecutionRoleArn": cloud.role_arn, "ModelName": "m", "PrimaryContainer": container}
    full = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, full[1]))
    for call, asked in (
        (s3.put_object, {"Bucket": cloud.bucket, "Key": "kept", "Body": b"after"}),
        (s3.put_object, {"Bucket": cloud.bucket, "Key": "new", "Body": b"after"}),
        (cloud.client("sns").create_topic, {"Name": "topic"}),
        (cloud.client("sagemaker").create_model, config),
    ):
        with pytest.raises(ClientError, match="Make room") as refused:
            call(**asked)
        assert refused.value.response["Error"]["Code"] == "InsufficientStorage"
    assert s3.get_object(Bucket=cloud.bucket, Key="kept")["Body"].read() == b"before"
    assert s3.list_objects_v2(Bucket=cloud.bucket)["KeyCount"] == 1
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, full)
    s3.put_object(Bucket=cloud.bucket, Key="new", Body=b"after")
    cloud.client("sagemaker").create_model(**config)
    assert cloud.client("sagemaker").list_models()["Models"][0]["ModelName"] == "m"


@pytest.mark.promise(
    "A read-only disk is said so",
    fault="a state folder that cannot be made",
    outcome="`ServiceError` that names the folder and the setting",
)
def test_a_folder_that_cannot_be_written_is_said_so() -> None:
    with pytest.raises(ServiceError, match="AVATAR_STATE"):
        start(Settings(state=Path("/proc/avatar-course")))


@pytest.mark.promise(
    "A clock that jumps costs no job",
    fault="the clock is set seven hours forward, and back, while a job waits",
    outcome="it has waited for as long as it has",
)
def test_a_job_waits_as_long_as_it_waits_whatever_the_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = request()
    for jump in (timedelta(hours=7), timedelta(hours=-7)):
        monkeypatch.setattr(async_queue, "now", lambda jump=jump: now() + jump)
        assert not waiting.expired
        assert 0 <= waiting.waited < 30
    journal = Journal()
    journal.add_job("e", request(received=now() - timedelta(seconds=61)).plain(), None)
    (kept,) = journal.jobs("e")
    monkeypatch.setattr(async_queue, "now", now)
    assert AsyncRequest.of_kept(kept).expired, "time in which no service ran counts"
    monkeypatch.setattr(async_queue, "now", lambda: now() - timedelta(hours=7))
    assert not AsyncRequest.of_kept(kept).expired, "and a clock that went back makes it no older"


class _BadS3(BaseHTTPRequestHandler):
    """Ends in the middle of every object, refuses those of ``/refused``, sends those of ``/slow``
    in drops, and takes what is put."""

    put: dict[str, bytes]

    def do_GET(self) -> None:
        if self.path.startswith("/bucket/slow"):
            self.send_response(200)
            self.send_header("Content-Length", str(DROPS * 100))
            self.end_headers()
            for number in range(DROPS):
                time.sleep(0.1)
                self.wfile.write(f"{number:100d}".encode())
            return
        refused = self.path.startswith("/bucket/refused")
        self.send_response(403 if refused else 200)
        self.send_header("Content-Length", "0" if refused else "1000")
        self.end_headers()
        self.wfile.write(b"" if refused else b"half")
        self.close_connection = True

    def do_PUT(self) -> None:
        self.put[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def bad_s3() -> Iterator[tuple[str, dict[str, bytes]]]:
    handler = type("Handler", (_BadS3,), {"put": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.put
    server.shutdown()
    server.server_close()


def objects_of(
    cloud: Cloud, folder: Path, s3: tuple[str, dict[str, bytes]], *names: str
) -> dict[str, bytes]:
    """What a queue leaves in ``s3``, in order, whose container hands back its input: a job for each
    name of an object, or with a body of its own for the empty one."""
    url, put = s3

    class Echo:
        def invoke(self, invocation: Invocation, timeout_s: float) -> Answer:
            return Answer(status=200, body=invocation.body)

        def start(self) -> None: ...
        def stop(self) -> None: ...

    with own_context(cloud, folder) as context:
        log = ContainerLog(
            path=folder / "log", group="/bad", stream="one", logs_client=cloud.client("logs")
        )
        queue = AsyncQueue(replace(context, url=url, _clients={}), dict)
        queue.serve(Instance(id="i-1", host=Echo(), log=log))
        for name in names:
            asked = {"body": None, "input_location": f"s3://bucket/{name}"} if name else {}
            queue.put(
                request(
                    output_location=f"s3://bucket/out-{name}",
                    failure_location=f"s3://bucket/error-{name}",
                    **asked,
                )
            )
        ends = time.monotonic() + 60
        while len(put) < len(names) and time.monotonic() < ends:
            time.sleep(0.05)
        queue.close()
        log.close()
    return put


@pytest.mark.promise(
    "An input that cannot be read fails its job and stops no other",
    fault="S3 that refuses, and that cuts the connection in the middle of an object",
    outcome="a failure object that names the input; the next job is served",
)
def test_an_s3_that_is_cut_or_refuses_fails_the_job_and_not_the_queue(
    cloud: Cloud, tmp_path: Path, bad_s3: tuple[str, dict[str, bytes]]
) -> None:
    put = objects_of(cloud, tmp_path, bad_s3, "cut", "refused", "")
    assert set(put) == {"/bucket/error-cut", "/bucket/error-refused", "/bucket/out-"}
    assert b"Failed to download the input s3://bucket/cut" in put["/bucket/error-cut"]
    assert b"s3://bucket/refused: 403" in put["/bucket/error-refused"]


@pytest.mark.promise(
    "A slow S3 delays its own job alone",
    fault="an input that comes in drops, for two seconds",
    outcome="the job completes with the whole input; one that came later is done before it",
)
def test_an_s3_that_is_slow_delays_its_own_job_alone(
    cloud: Cloud, tmp_path: Path, bad_s3: tuple[str, dict[str, bytes]]
) -> None:
    put = objects_of(cloud, tmp_path, bad_s3, "slow", "")
    assert list(put) == ["/bucket/out-", "/bucket/out-slow"]
    assert put["/bucket/out-slow"] == b"".join(f"{n:100d}".encode() for n in range(DROPS))
