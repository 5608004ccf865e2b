"""``course.py clean``: what it ends, what it asks, what it keeps."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud, LocalSession, open_cloud
from helpers.cloud.topics import create_topics
from helpers.launcher.cleaning import clean, remove_state
from helpers.launcher.prepare import Launcher
from helpers.local.launch import find, remove_leftovers, start, stop
from helpers.local.statefile import WORK, is_alive
from helpers.settings import ROOT, Settings
from tests.cloud.accounts import what_is_left, wipe
from tests.cloud.machines import Machine

OPEN = "ledger-aws-ada.jsonl"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSession]:
    """An account on AWS, played by a local SageMaker."""
    settings = Settings(fast=True, threads=1, state=tmp_path_factory.mktemp("aws") / "state")
    service = start(settings)
    session = LocalSession(service)
    session.service = service  # type: ignore[attr-defined]
    session.client = cache(session.client)  # type: ignore[method-assign]
    yield session
    stop(settings)


@pytest.fixture
def machine(aws: LocalSession, tmp_path: Path) -> Iterator[Machine]:
    """A fresh machine of a learner who has an account there; empty again after the test."""
    yield Machine.fresh(tmp_path, "ada", aws.service)  # type: ignore[attr-defined]
    wipe(aws.client)


def work_done_elsewhere(aws: LocalSession, lost: Path) -> None:
    """Topics, a queue and a photo in the account, made on a machine that is lost."""
    service = aws.service  # type: ignore[attr-defined]
    s3 = aws.client("s3")
    settings = Settings(backend="local", learner="ada", fast=True)
    cloud = Cloud(
        settings=settings, session=aws, account=service.account, region=service.region,
        bucket=f"sagemaker-{service.region}-{service.account}", role_arn="",
    )  # fmt: skip
    s3.create_bucket(Bucket=cloud.bucket, CreateBucketConfiguration={"Tags": cloud.tags})
    s3.put_object(Bucket=cloud.bucket, Key=f"{cloud.prefix}/requests/me.tar.gz", Body=b"photos")
    s3.put_object(Bucket=cloud.bucket, Key=f"{cloud.prefix}/models/m.tar.gz", Body=b"code")
    create_topics(cloud, Ledger(lost / "ledger.jsonl"), "tune")


@pytest.mark.promise(
    "A lost laptop's endpoints can be ended from another",
    fault="a machine without ledger and notes",
    outcome="an empty account",
)
def test_a_fresh_machine_ends_what_a_lost_one_made(
    aws: LocalSession, machine: Machine, tmp_path: Path
) -> None:
    work_done_elsewhere(aws, tmp_path)
    rehearsed = machine.clean("--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert "would remove topic" in rehearsed.stdout and "would remove bucket" in rehearsed.stdout
    made = {"topics", "subscriptions", "queues", "objects", "buckets", "tags"}
    assert set(what_is_left(aws.client)) == made
    done = machine.clean("--delete-photos")
    assert done.returncode == 0, done.stderr
    assert "removed topic" in done.stdout and "nothing is left" in done.stdout
    assert what_is_left(aws.client) == {}
    again = machine.clean()
    assert again.returncode == 0 and "there was nothing to remove" in again.stdout
    assert what_is_left(aws.client) == {}, "looking creates nothing, not even a bucket"


def test_where_nobody_can_be_asked_photos_stay_on_aws(
    aws: LocalSession, machine: Machine, tmp_path: Path
) -> None:
    work_done_elsewhere(aws, tmp_path)
    done = machine.clean()
    assert done.returncode == 0, done.stderr
    assert "--delete-photos deletes them too" in done.stdout
    assert "requests/: 1 objects" in done.stdout
    left = what_is_left(aws.client)
    assert set(left) == {"objects", "buckets", "tags"}
    assert [item["Key"] for item in left["objects"]] == ["avatar-course/ada/requests/me.tar.gz"]


@pytest.mark.parametrize(("answer", "stay"), [("y", False), ("", True), ("n", True)])
def test_on_a_terminal_photos_are_asked_about(
    aws: LocalSession, machine: Machine, tmp_path: Path, answer: str, stay: bool
) -> None:
    work_done_elsewhere(aws, tmp_path)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal, os.fdopen(ours, "w") as keyboard:
        keyboard.write(f"{answer}\n")
        keyboard.flush()
        done = subprocess.run(
            machine.command("clean"), env=machine.environment(), cwd=machine.root, stdin=terminal,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "They cannot be brought back. [y/N]" in done.stdout
    assert set(what_is_left(aws.client)) == ({"objects", "buckets", "tags"} if stay else set())


def test_what_is_left_makes_it_fail(aws: LocalSession, machine: Machine, tmp_path: Path) -> None:
    """Another learner's things are named, and are not what fails it; one thing of ours does."""
    work_done_elsewhere(aws, tmp_path)
    kms = aws.client("kms")
    keys = {
        owner: kms.create_key(
            Tags=[
                {"TagKey": "avatar-course", "TagValue": "personalised-avatars"},
                {"TagKey": "avatar-owner", "TagValue": owner},
            ]
        )["KeyMetadata"]["KeyId"]
        for owner in ("ada", "grace")
    }
    done = machine.clean("--delete-photos")
    for key in keys.values():
        kms.untag_resource(KeyId=key, TagKeys=["avatar-course"])
    assert done.returncode == 1
    assert "FAILED unknown arn:aws:kms" in done.stdout
    assert "not touched: 1 resources of grace" in done.stdout
    assert "not everything could be removed" in done.stderr


def test_without_an_account_it_says_so(machine: Machine) -> None:
    environment = machine.environment(AWS_SHARED_CREDENTIALS_FILE="/nowhere", HOME="/nowhere")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.pop(name)
    done = subprocess.run(
        machine.command("clean"), env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "account cannot be used" in done.stderr


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Machine]:
    """A machine with a local SageMaker of its own, in which there is a photo."""
    made = Machine.fresh(tmp_path, "ada")
    settings = Settings(fast=True, threads=1, state=made.state, learner="ada")
    cloud = open_cloud(settings)
    create_topics(cloud, cloud.ledger(), "tune")
    key = f"{cloud.prefix}/requests/me.tar.gz"
    cloud.client("s3").put_object(Bucket=cloud.bucket, Key=key, Body=b"photos")
    yield made
    stop(settings)


def test_here_everything_ends_with_the_local_sagemaker(laptop: Machine) -> None:
    work = Path((laptop.state / WORK).read_text())
    assert work.is_dir()
    done = laptop.clean()
    assert done.returncode == 0, done.stderr
    assert "removed topic" in done.stdout and "nothing is left" in done.stdout
    assert "the local SageMaker ended" in done.stdout
    assert not is_alive(laptop.state) and not work.exists()
    assert list(laptop.state.iterdir()) == []


def test_here_photos_can_be_kept_while_it_runs_on(laptop: Machine) -> None:
    done = laptop.clean("--keep-photos")
    assert done.returncode == 0, done.stderr
    assert "runs on: photos and adapters are in its S3" in done.stdout
    service = find(Settings(state=laptop.state))
    assert service
    left = what_is_left(LocalSession(service).client)
    assert set(left) == {"objects", "buckets", "tags"}


@pytest.mark.promise(
    "No photo stays on the disk",
    fault="kill -9 of the service and of its guard",
    outcome="`clean` removes its folder",
)
def test_a_killed_local_sagemaker_leaves_no_photos_on_the_disk(laptop: Machine) -> None:
    """As when the machine stops: neither it nor its guard can clean up."""
    service = find(Settings(state=laptop.state))
    work = Path((laptop.state / WORK).read_text())
    assert service
    photo = work / "i-1" / "model" / "photo.jpg"
    photo.parent.mkdir(parents=True)
    photo.touch()
    for child in children(service.pid):
        os.kill(child, signal.SIGKILL)
    os.kill(service.pid, signal.SIGKILL)
    ends = time.monotonic() + 10
    while is_alive(laptop.state) and time.monotonic() < ends:
        time.sleep(0.05)
    done = laptop.clean()
    assert done.returncode == 0, done.stderr
    assert "no local SageMaker is running" in done.stdout
    assert f"removed {work}" in done.stdout and not work.exists()


def children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return [int(line) for line in listed.stdout.split()]


def test_a_folder_that_is_not_the_services_is_never_a_leftover(tmp_path: Path) -> None:
    state, photos = tmp_path / "state", tmp_path / "photos"
    state.mkdir()
    photos.mkdir()
    (state / WORK).write_text(str(photos))
    assert remove_leftovers(Settings(state=state)) == []
    assert photos.is_dir()


def test_clean_keeps_pictures_and_the_ledgers_of_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("AVATAR_")]:
        monkeypatch.delenv(name)
    state = tmp_path / "state"
    monkeypatch.setenv("AVATAR_STATE", str(state))
    kept = [
        tmp_path / "outputs" / "demo" / "avatars.png",
        tmp_path / "data" / "my_photos" / "me.jpg",
        tmp_path / ".course" / "lock",
        state / "letters" / "mine.txt",
    ]
    gone = [
        state / "logs" / "service.log",
        state / "service.json",
        state / "ledger-local-ada.jsonl",
        state / "notes-local-ada.json",
        state / "demo-x" / "request.tar.gz",
        tmp_path / "helpers" / "__pycache__" / "x.pyc",
        tmp_path / "notebooks" / ".ipynb_checkpoints" / "00_start.ipynb",
        tmp_path / ".ruff_cache" / "x",
    ]
    for path in kept + gone:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Ledger(state / OPEN).planned("endpoint", "avatars", price_per_hour=1.5)
    assert clean(Launcher(tmp_path)) == 0
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in gone if path.exists()] == []
    said = capsys.readouterr().out
    assert f"removed {state / 'logs'}" in said
    assert "On AWS 1 resources of ada may still exist" in said
    assert "AVATAR_LEARNER=ada python3 course.py clean" in said

    clean(Launcher(tmp_path), everything=True)
    assert not (tmp_path / ".course").exists()
    assert (state / OPEN).exists()
    assert kept[0].exists()


def test_the_courses_own_state_folder_is_emptied_but_for_what_must_stay(tmp_path: Path) -> None:
    state = tmp_path / ".local-sagemaker"
    state.mkdir()
    for name in ("service.json", "something-new", OPEN, "consents.jsonl"):
        (state / name).touch()
    remove_state(Settings(state=state), tmp_path)
    assert {path.name for path in state.iterdir()} == {OPEN, "consents.jsonl"}


def test_ending_what_bills_needs_no_heavy_library() -> None:
    """On a machine of one's own boto3 is enough; torch would take minutes to come."""
    code = "import sys, helpers.cloud.clean; print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    heavy = {"torch", "numpy", "PIL", "moto", "diffusers", "matplotlib", "werkzeug"}
    assert heavy.isdisjoint(said.stdout.split())
