"""A room of learners in one account: names that never mix, a board, an end that spares others."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

import helpers.cohort.__main__ as command
from helpers.bench.scale_facts import FACTS, with_jobs
from helpers.cloud.cleanup import clean_up, take_stock
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.session import Cloud, open_cloud
from helpers.cloud.topics import create_topics
from helpers.cohort.board import board
from helpers.cohort.check import place_waits, preflight
from helpers.cohort.end import end_day, rehearse
from helpers.cohort.members import as_learner, members, others, owner_of, stack_bucket
from helpers.cohort.progress import FOLDER, leave_sign, progress
from helpers.cohort.seats import Cohort, cohort_of
from helpers.errors import CourseError, SettingsError
from helpers.launcher import commands
from helpers.launcher.prepare import Launcher
from helpers.local.launch import stop
from helpers.settings import Settings
from helpers.ui.lab import Lab, start
from tests.cloud.accounts import start_job, what_is_left
from tests.local.conftest import model_archive

SPRING, NEXT = Cohort("spring"), Cohort("spring-26")
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?", fullmatch=True).filter(
    lambda name: "--" not in name
)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A local SageMaker of its own, whose bucket seat 1 of spring has made."""
    folder = tmp_path_factory.mktemp("room")
    own = Settings(
        fast=True, threads=1, state=folder / "state", outputs=folder / "out", learner="spring-01"
    )
    yield open_cloud(own)
    stop(own)


def put(cloud: Cloud, key: str, bucket: str = "") -> None:
    cloud.client("s3").put_object(
        Bucket=bucket or cloud.bucket, Key=f"{cloud.prefix}/{key}", Body=b"x"
    )


@settings(max_examples=50, deadline=None)
@given(one=NAMES, other=NAMES, seat=st.integers(1, 999))
def test_two_cohorts_have_no_learner_in_common(one: str, other: str, seat: int) -> None:
    learner = Cohort(one).learner(seat)
    assert Settings(learner=learner).learner == learner, "the name is one that the course takes"
    assert Cohort(other).holds(learner) is (one == other)
    assert cohort_of(learner) == one
    assert owner_of(f"avatar-{learner}--tuning") == learner


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "Spring", "a" * 17, "a/b"])
def test_a_name_that_makes_no_learners_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        Cohort(name)


def test_a_name_without_a_seat_is_of_no_cohort() -> None:
    assert [cohort_of(name) for name in ("learner", "ada", "spring-1", "spring-1000", "07")] == [
        "", "", "", "", ""
    ]  # fmt: skip


def test_a_seat_leaves_signs_and_anybody_else_leaves_none(
    room: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "helpers.cloud.session.open_cloud",
        lambda settings, announce: as_learner(room, settings.learner),
    )
    monkeypatch.setenv("AVATAR_LEARNER", "autumn-03")
    lab = start("02_prepare_photos")
    been = progress(lab.cloud)
    assert (been.at, been.finished, been.done) == ("02_prepare_photos", False, ())
    lab.running()
    been = progress(lab.cloud)
    assert (been.at, been.finished, been.done) == ("02_prepare_photos", True, (been.at,))
    assert len(take_stock(lab.cloud).found) == 1, "and the signs are all that it made"

    alone = Lab("02_prepare_photos", replace(room.settings, learner="ada"))
    alone.running()
    assert progress(alone.cloud).seen is None
    report = clean_up(lab.cloud, lab.ledger, personal_data=False).require_empty()
    assert [item.name for item in report.removed] == [lab.cloud.uri(FOLDER, "")]


def test_a_sign_that_cannot_be_left_disturbs_nobody(room: Cloud) -> None:
    leave_sign(replace(room, bucket="nowhere"), "03", "begun")
    with pytest.raises(ClientError):
        put(room, "photo.jpg", "nowhere")


@pytest.fixture(scope="module")
def busy(room: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """Seat 1 has an endpoint and trains, seat 2 topics, seat 3 photos; others work beside them."""
    folder = tmp_path_factory.mktemp("busy")
    topics = create_topics(room, room.ledger(), "tune")
    deploy_async(
        room, room.ledger(), name="tune", image=djl_image(room.region),
        model_data=model_archive(folder), instance_type="ml.g5.xlarge",
        success_topic=topics.success, error_topic=topics.error,
    )  # fmt: skip
    start_job(room, room.ledger(), folder, "import time; time.sleep(60)")
    wait_in_service(room, "tune")
    leave_sign(room, "03_fine_tune_async", "begun")
    second, third = (as_learner(room, SPRING.learner(seat)) for seat in (2, 3))
    create_topics(second, second.ledger(), "tune")
    put(third, "requests/photos.tar.gz")
    for learner in ("spring-26-01", "ada"):
        other = as_learner(room, learner)
        create_topics(other, other.ledger(), "tune")
        put(other, "requests/photos.tar.gz")
    return room


def test_the_board_shows_who_is_where_and_what_runs(busy: Cloud) -> None:
    shown = board(busy, SPRING, seats=4)
    places = {place.learner: place for place in shown.places}
    assert list(places) == ["spring-01", "spring-02", "spring-03", "spring-04"]
    first = places["spring-01"]
    assert first.progress.at == "03_fine_tune_async" and first.per_hour == 1.408
    assert [one.name for one in first.endpoints] == ["avatar-spring-01--tune"]
    assert len(first.jobs) == 1 and first.look_at(shown.now) == ""
    assert places["spring-03"].progress.at == "03_fine_tune_async", "its request shows it"
    assert places["spring-04"].progress.seen is None and not places["spring-04"].endpoints
    assert shown.per_hour == 1.408
    assert "tune (1 x ml.g5.xlarge)" in str(shown) and "trains" in str(shown)
    assert "spring-26" not in str(shown) and "ada" not in str(shown)


def test_the_board_says_where_to_walk_over(busy: Cloud) -> None:
    shown = board(busy, SPRING)
    first = shown.places[0]
    (endpoint,) = first.endpoints
    assert endpoint.expires and first.progress.seen
    late = replace(first, endpoints=(replace(endpoint, expires=endpoint.created),))
    assert "tune is FORGOTTEN?" in late.look_at(shown.now)
    broken = replace(first, endpoints=(replace(endpoint, status="Failed"),))
    assert "tune is Failed" in broken.look_at(shown.now)
    assert "nothing written for" in first.look_at(endpoint.expires)


def test_the_end_of_the_day_spares_everybody_else(
    busy: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = [as_learner(busy, learner) for learner in ("spring-26-01", "ada")]
    before, there = [take_stock(one) for one in beside], what_is_left(busy.client)
    notes = busy.settings.state / "notes-local-spring-01.json"
    notes.write_text("{}")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    monkeypatch.setattr(command, "find_cloud", lambda settings: busy)

    assert members(busy, SPRING) == ["spring-01", "spring-02", "spring-03"]
    assert others(busy, SPRING).keys() == {"spring-26-01", "ada"}
    assert command.main(["end", "spring"]) == 1, "nobody can be asked"
    said = capsys.readouterr().out
    assert "--yes removes it" in said and "not touched" in said
    assert what_is_left(busy.client).keys() == there.keys() and notes.exists()

    assert command.main(["end", "spring", "--yes"]) == 0
    assert "nothing is left of them" in capsys.readouterr().out
    assert members(busy, SPRING) == ["spring-01"], "whose bucket others still use"
    assert not notes.exists()
    assert [take_stock(one) for one in beside] == before
    for one in beside:
        clean_up(one, one.ledger(), personal_data=True).require_empty()


def test_the_bucket_goes_with_the_last_of_its_cohort(
    room: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seat 1 made it, and is cleaned while seat 2's photos still lie in it."""
    for left in what_is_left(room.client).get("buckets", []):
        room.client("s3").delete_bucket(Bucket=left)
    first = open_cloud(room.settings)
    second = as_learner(first, "spring-02")
    put(second, "requests/photos.tar.gz")
    monkeypatch.setattr(command, "find_cloud", lambda settings: first)
    assert command.main(["end", "spring", "--dry-run", "--keep-photos"]) == 0
    assert re.search(r"spring-02 +nothing +1 ", capsys.readouterr().out), "photos are kept"
    done = end_day(first, rehearse(first, SPRING))
    assert done.empty and what_is_left(first.client) == {}
    open_cloud(room.settings)


def test_on_aws_the_bucket_of_a_learners_stack_is_looked_into(room: Cloud) -> None:
    """Photos in it may be the last trace of somebody; the bucket itself is the stack's."""
    aws = replace(room, settings=replace(room.settings, backend="aws"))
    bucket = stack_bucket(aws, "spring-07")
    aws.client("s3").create_bucket(Bucket=bucket)
    put(as_learner(aws, "spring-07"), "requests/photos.tar.gz", bucket)
    assert as_learner(aws, "spring-07").bucket == bucket
    assert as_learner(aws, "spring-08").bucket == aws.bucket
    assert "spring-07" in members(aws, SPRING)
    assert end_day(aws, rehearse(aws, SPRING)).empty
    objects = aws.client("s3").list_objects_v2(Bucket=bucket)
    assert objects["KeyCount"] == 0
    aws.client("s3").delete_bucket(Bucket=bucket)


@settings(max_examples=25, deadline=None)
@given(seats=st.integers(1, 40), at_once=st.integers(1, 40))
def test_more_places_make_nobody_wait_longer(seats: int, at_once: int) -> None:
    few, more = (place_waits(seats, count, 3600) for count in (at_once, at_once + 1))
    assert len(few) == len(more) == seats, "everybody has a turn"
    assert (np.array(more) <= np.array(few) + 1e-6).all()
    assert at_once < seats or max(few) == 0


def test_a_check_says_what_is_short_and_what_it_costs(room: Cloud) -> None:
    facts = with_jobs(FACTS, warm=1600, cold=3800)
    one, many = (preflight(room, SPRING, seats, facts) for seats in (1, 30))
    assert one.ready, "the account has enough for a learner"
    assert not many.ready and many.affordable
    assert many.dollars == pytest.approx(30 * one.dollars) and one.dollars > 0
    tuning = {turn.quota.name: turn for turn in many.turns}["ml.g5.2xlarge for endpoint usage"]
    assert (tuning.all, tuning.at_once) == (60, 2) and "ask for 60" in tuning.verdict
    assert max(tuning.waits) > 14 * 0.8 * 2 * 3600, "fifteen groups of two hours"
    last = [max(shared.waits) for shared in many.shared]
    assert last == sorted(last, reverse=True), "more instances, less to wait"
    text = str(many)
    assert "NOT READY" in text and all(turn.quota.name in text for turn in many.turns)
    dear = preflight(room, SPRING, 1, facts, budget=one.dollars / 2)
    assert not dear.ready and "MORE than" in str(dear)


def test_what_is_handed_out_names_every_seat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AVATAR_STATE", str(tmp_path))
    assert command.main(["seats", "spring", "--seats", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"AVATAR_LEARNER=spring-0{seat} python3 course.py lab" for seat in (1, 2)]
    monkeypatch.setenv("AVATAR_BACKEND", "aws")
    assert command.main(["seats", "spring", "--seats", "2"]) == 0
    said = capsys.readouterr().out
    assert "for learner in spring-01 spring-02; do" in said and "Learner=$learner" in said
    for wrong in (["seats", "spring"], ["check", "spring"], ["seats", "a--b", "--seats", "2"]):
        assert command.main(wrong) == 1


def test_the_launcher_passes_the_words_on(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(Launcher, "course_python", lambda self: "python")
    monkeypatch.setattr(Launcher, "run", lambda self, *words: heard.extend(words) or 0)
    assert commands.main(["cohort", "end", "spring", "--dry-run", "--seats", "30"]) == 0
    assert heard == ["python", "-m", "helpers.cohort", "end", "spring", "--seats=30", "--dry-run"]
    with pytest.raises(CourseError):
        Cohort(heard[-1])
