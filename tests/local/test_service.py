"""The process: started once, found again, open to nobody but the holder of its keys."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.session import Cloud, LocalSession, open_cloud
from helpers.errors import ServiceError
from helpers.local.launch import find, start, stop
from helpers.local.statefile import OBJECTS, LocalService, read_state
from helpers.settings import ROOT, Settings
from tests.local.conftest import model_archive
from tests.local.jobs import run, send
from tests.local.processes import ended


@pytest.fixture
def service(cloud: Cloud) -> LocalService:
    found = find(cloud.settings)
    assert found
    return found


def test_it_starts_within_seconds_and_is_found_again(settings: Settings) -> None:
    assert find(settings) is None
    began = time.monotonic()
    service = start(settings)
    assert time.monotonic() - began < 10
    assert start(settings) == service == find(settings)


@pytest.mark.promise(
    "Two notebooks share one service",
    fault="two starts at the same moment",
    outcome="one process, found by both",
)
def test_two_starts_at_once_give_one_service(settings: Settings) -> None:
    script = (
        "import sys; from pathlib import Path; from helpers.settings import Settings\n"
        "from helpers.local.launch import start\n"
        "print(start(Settings(fast=True, threads=1, state=Path(sys.argv[1]))).pid)"
    )
    command = [sys.executable, "-c", script, str(settings.state)]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    pids = {int(process.communicate(timeout=60)[0]) for process in both}
    assert len(pids) == 1
    assert find(settings), "it outlives the processes that started it"


@pytest.mark.promise(
    "One state folder has one service",
    fault="a second service process",
    outcome="it gives up; the first serves on",
)
def test_a_second_service_process_in_the_same_folder_gives_up(settings: Settings) -> None:
    start(settings)
    command = [sys.executable, "-m", "helpers.local.service", "--region", "us-east-1"]
    second = subprocess.run(
        [*command, "--state", str(settings.state)], cwd=ROOT, capture_output=True, timeout=30
    )
    assert second.returncode == 1
    assert find(settings)


@pytest.mark.promise(
    "A state file of a dead service is not believed",
    fault="its file comes back, with another program's process id",
    outcome="a fresh service with fresh keys; nobody is killed for it",
)
def test_a_stale_state_file_is_not_believed(settings: Settings) -> None:
    service = start(settings)
    text = (settings.state / "service.json").read_text()
    stop(settings)
    # The file comes back as after kill -9, and its process id now belongs to somebody else.
    stale = json.loads(text) | {"pid": os.getpid()}
    (settings.state / "service.json").write_text(json.dumps(stale))
    assert read_state(settings.state) is None
    assert stop(settings) is False, "and nobody is killed for it"
    fresh = start(settings)
    assert fresh.pid not in (service.pid, os.getpid())
    assert fresh.secret_key != service.secret_key


@pytest.mark.promise(
    "A service that cannot start says why",
    fault="a state folder that cannot be used",
    outcome="`ServiceError`",
)
def test_a_service_that_cannot_start_says_why(settings: Settings) -> None:
    settings.state.mkdir()
    (settings.state / "service.alive").mkdir()
    with pytest.raises(ServiceError, match="did not start"):
        start(settings)


@pytest.mark.promise(
    "The keys are the owner's alone",
    fault="whoever looks at files, lists processes or prints objects",
    outcome="file 0600, folder 0700; the secret is in no command line and no `repr`",
)
def test_the_keys_are_for_the_owner_alone(settings: Settings) -> None:
    service = start(settings)
    assert (settings.state / "service.json").stat().st_mode & 0o777 == 0o600
    assert settings.state.stat().st_mode & 0o077 == 0
    assert service.secret_key not in repr(service)
    assert service.secret_key not in " ".join(psutil.Process(service.pid).cmdline())


@pytest.mark.promise(
    "The service is not on the network",
    fault="a look at its sockets",
    outcome="127.0.0.1 and nothing else",
)
def test_it_listens_on_loopback_only(service: LocalService) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(service.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.promise(
    "Without the secret, nothing",
    fault="calls signed with a guessed key",
    outcome="403 from each service",
)
@pytest.mark.parametrize("name", ["sagemaker", "s3", "sqs", "sns", "sts", "iam", "logs"])
def test_a_wrong_secret_is_refused_by_every_service(service: LocalService, name: str) -> None:
    wrong = LocalSession(dataclasses.replace(service, secret_key="guessed"))
    calls: dict[str, Callable[[], object]] = {
        "sagemaker": lambda: wrong.client("sagemaker").list_endpoints(),
        "s3": lambda: wrong.client("s3").list_buckets(),
        "sqs": lambda: wrong.client("sqs").list_queues(),
        "sns": lambda: wrong.client("sns").list_topics(),
        "sts": lambda: wrong.client("sts").get_caller_identity(),
        "iam": lambda: wrong.client("iam").list_roles(),
        "logs": lambda: wrong.client("logs").describe_log_groups(),
    }
    with pytest.raises(ClientError) as refused:
        calls[name]()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def signed(service: LocalService, body: bytes = b"{}", **headers: str) -> dict[str, str]:
    """Headers of a ListEndpoints call, correctly signed."""
    request = AWSRequest(
        method="POST",
        url=service.url + "/",
        data=body,
        headers={
            "X-Amz-Target": "SageMaker.ListEndpoints",
            "Content-Type": "application/x-amz-json-1.1",
            **headers,
        },
    )
    keys = Credentials(service.access_key, service.secret_key)
    SigV4Auth(keys, "sagemaker", service.region).add_auth(request)
    return dict(request.headers)


def status(service: LocalService, headers: dict[str, str], body: bytes = b"{}") -> int:
    request = urllib.request.Request(service.url + "/", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def test_a_correct_signature_is_served(service: LocalService) -> None:
    assert status(service, signed(service)) == 200


@pytest.mark.promise(
    "A signature is for one request alone",
    fault="another host, a web page's origin, another operation, date, or no signature",
    outcome="403",
)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: headers | {"Host": "evil.example"},
        lambda headers: headers | {"Origin": "http://127.0.0.1"},
        lambda headers: headers | {"X-Amz-Target": "SageMaker.DeleteEndpoint"},
        lambda headers: headers | {"X-Amz-Date": "20200101T000000Z"},
        lambda headers: {k: v for k, v in headers.items() if k != "Authorization"},
        lambda headers: headers | {"Authorization": headers["Authorization"][:-1] + "g"},
        lambda headers: headers | {"Authorization": headers["Authorization"].replace("host;", "")},
    ],
    ids=["host", "origin", "target", "date", "unsigned", "garbled", "host unsigned"],
)
def test_a_request_that_was_tampered_with_is_not(
    service: LocalService, spoil: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    assert status(service, spoil(signed(service))) == 403


@pytest.mark.promise(
    "The body is signed too",
    fault="another body under the same signature",
    outcome="403",
)
def test_the_body_is_part_of_the_signature(service: LocalService) -> None:
    headers = signed(service, b'{"MaxResults": 1}')
    assert status(service, headers, b'{"MaxResults": 1}') == 200
    assert status(service, headers, b'{"MaxResults": 2}') == 403


@pytest.mark.promise(
    "A signature does not last",
    fault="one of 16 minutes ago",
    outcome="403",
)
def test_an_old_signature_cannot_be_played_back(
    service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime

    earlier = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=16)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: earlier)
    assert status(service, signed(service)) == 403


@pytest.mark.promise(
    "The emulator's own test door is shut",
    fault="a reset, correctly signed",
    outcome="refused; the object is still there",
)
def test_moto_cannot_be_reset_from_outside(cloud: Cloud, service: LocalService) -> None:
    cloud.client("s3").put_object(Bucket=cloud.bucket, Key="kept", Body=b"")
    keys = Credentials(service.access_key, service.secret_key)
    request = AWSRequest(method="POST", url=f"{service.url}/moto-api/reset", data=b"")
    SigV4Auth(keys, "s3", service.region).add_auth(request)
    asked = urllib.request.Request(request.url, headers=dict(request.headers), method="POST")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(asked, timeout=10)
    cloud.client("s3").head_object(Bucket=cloud.bucket, Key="kept")


@pytest.mark.promise(
    "A presigned address opens one object, for a time",
    fault="another key, a changed signature, an expired address",
    outcome="403",
)
def test_presigned_addresses_are_verified(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    for key in ("one", "two"):
        s3.put_object(Bucket=cloud.bucket, Key=key, Body=key.encode())
    asked = {"Bucket": cloud.bucket, "Key": "one"}
    address = s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=60)
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.read() == b"one"
    expired = s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=0)
    for wrong in (address.replace("/one?", "/two?"), address[:-1] + "x", expired):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(wrong, timeout=10)
        assert refused.value.code == 403


@pytest.mark.parametrize(
    "key", ["plain", "a b/ü+&=?#%41.tar.gz", "endpoints/x/invocations", "a//b"]
)
def test_odd_keys_survive_the_signature(cloud: Cloud, key: str) -> None:
    s3 = cloud.client("s3")
    s3.put_object(Bucket=cloud.bucket, Key=f"odd/{key}", Body=key.encode(), Metadata={"a_b": "c"})
    found = s3.get_object(Bucket=cloud.bucket, Key=f"odd/{key}")
    assert found["Body"].read() == key.encode()
    assert found["Metadata"] == {"a_b": "c"}


def test_large_uploads_arrive_whole(cloud: Cloud, tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 20  # above boto3's threshold for uploads in parts
    (tmp_path / "big").write_bytes(content)
    uri = cloud.upload(tmp_path / "big", "big")
    cloud.client("s3").download_file(cloud.bucket, uri.split("/", 3)[3], str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


def test_versions_are_listed_without_reading_a_body(settings: Settings) -> None:
    cloud = open_cloud(settings)
    s3, bodies = cloud.client("s3"), cloud.settings.state / OBJECTS
    before = set(bodies.iterdir())
    put = s3.put_object(Bucket=cloud.bucket, Key="listed", Body=b"a body")
    (body,) = set(bodies.iterdir()) - before
    body.rename(body.with_suffix(".away"))
    (listed,) = s3.list_object_versions(Bucket=cloud.bucket, Prefix="listed")["Versions"]
    assert (listed["Size"], listed["ETag"]) == (6, put["ETag"])
    body.with_suffix(".away").rename(body)
    assert s3.get_object(Bucket=cloud.bucket, Key="listed")["Body"].read() == b"a body"


def test_objects_that_arrive_during_a_listing_stay_whole(cloud: Cloud) -> None:
    s3, number = cloud.client("s3"), 40

    def put(one: int) -> None:
        s3.put_object(Bucket=cloud.bucket, Key=f"during/{one}", Body=bytes([one]) * 100_000)

    with ThreadPoolExecutor(4) as pool:
        arriving = [pool.submit(put, one) for one in range(number)]
        while not all(one.done() for one in arriving):
            s3.list_object_versions(Bucket=cloud.bucket, Prefix="during/")
    for one in range(number):
        arriving[one].result()
        body = s3.get_object(Bucket=cloud.bucket, Key=f"during/{one}")["Body"].read()
        assert body == bytes([one]) * 100_000


def test_a_library_with_an_address_of_its_own_still_comes_here(cloud: Cloud) -> None:
    open_cloud(cloud.settings)  # the session opened last is the default
    elsewhere = boto3.DEFAULT_SESSION
    assert isinstance(elsewhere, LocalSession)
    sts = elsewhere.client("sts", endpoint_url="https://sts.us-east-1.amazonaws.com")
    assert sts.get_caller_identity()["Account"] == cloud.account
    assert sts.meta.endpoint_url.startswith("http://127.0.0.1:")


@pytest.mark.promise(
    "The learner's AWS account is never touched by accident",
    fault="a broken profile, an endpoint and a proxy in the environment",
    outcome="the local account answers",
)
def test_the_learners_own_aws_settings_are_not_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile broken\nregion =")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert open_cloud(settings).account == "123456789012"


def endpoint_of(settings: Settings, folder: Path) -> tuple[Cloud, str]:
    cloud = open_cloud(settings)
    name = deploy_async(
        cloud,
        cloud.ledger(),
        name="short-lived",
        image=djl_image(cloud.region),
        model_data=model_archive(folder),
        instance_type="ml.g5.xlarge",
    ).endpoint
    wait_in_service(cloud, name)
    return cloud, name


@pytest.mark.promise(
    "No container outlives the service",
    fault="SIGTERM and kill -9 of the service, a busy worker with a child",
    outcome="worker, child and temporary files are gone",
)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_container_outlives_the_service(
    settings: Settings, tmp_path: Path, how: signal.Signals
) -> None:
    cloud, endpoint = endpoint_of(settings, tmp_path)
    seen = run(cloud, endpoint, do="see")
    worker = run(cloud, endpoint, do="echo")["pid"]
    send(cloud, endpoint, do="orphan", seconds=60)  # busy, and with a child of its own
    until = time.monotonic() + 5
    while not (children := psutil.Process(worker).children()) and time.monotonic() < until:
        time.sleep(0.05)
    assert children
    service = find(settings)
    assert service
    os.kill(service.pid, how)
    assert all(ended(pid) for pid in (service.pid, worker, children[0].pid))
    until = time.monotonic() + 5
    while find(settings) and time.monotonic() < until:
        time.sleep(0.05)
    assert find(settings) is None
    while Path(seen["folder"]).exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(seen["folder"]).exists(), "its temporary files are gone too"


@pytest.mark.promise(
    "A service that nobody can find ends by itself",
    fault="its folder is removed",
    outcome="the process ends",
)
def test_a_service_that_nobody_can_find_any_more_ends(settings: Settings) -> None:
    """Somebody removed its folder, as ``git clean`` does."""
    service = start(settings)
    shutil.rmtree(settings.state)
    assert ended(service.pid)


def test_many_callers_at_once_are_served(cloud: Cloud) -> None:
    s3 = cloud.client("s3")

    def there_and_back(number: int) -> bytes:
        key, body = f"many/{number}", os.urandom(1000)
        s3.put_object(Bucket=cloud.bucket, Key=key, Body=body)
        return s3.get_object(Bucket=cloud.bucket, Key=key)["Body"].read() == body

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(60)))


def test_the_command_line(settings: Settings) -> None:
    environment = os.environ | {"AVATAR_STATE": str(settings.state), "AVATAR_FAST": "1"}

    def call(word: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "helpers.local.launch", word]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
        )

    assert call("status").returncode == 1
    assert call("start").returncode == 0
    assert call("status").returncode == 0
    assert "ended" in call("stop").stdout
    assert call("status").returncode == 1
    assert call("dance").returncode == 2
