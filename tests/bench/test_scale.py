"""The load model is held to what is known of queues, and to the scaling that the course runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.bench import scale
from helpers.bench.report import make_report, read_goals
from helpers.bench.scale_avatars import House, paint
from helpers.bench.scale_facts import FACTS, TUNER, Fact, facts_here, limits, with_jobs
from helpers.bench.scale_load import DAY, arrivals, pictures
from helpers.bench.scale_page import PAGE, sections, write_page
from helpers.bench.scale_queue import Fleet, Served, course_policies, serve
from helpers.cloud.instances import INSTANCES

GIVEN: Mapping[str, Fact] = with_jobs(FACTS, warm=1600, cold=3800)


def crowd(seed: int, jobs: int = 300, load: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return np.cumsum(random.exponential(20, jobs)), random.exponential(20 * load, jobs)


def running(served: Served, at: float) -> int:
    return int(((served.starts <= at) & (served.ends > at)).sum())


def scaled(seed: int = 0, *, jobs: int = 300, **changes: object) -> Served:
    came, lasts = crowd(seed, jobs)
    fleet = Fleet(start=0, delay_s=300, policies=course_policies(0, 6))
    return serve(came, lasts, replace(fleet, **changes))


def test_it_is_the_textbooks_queue_where_nothing_scales() -> None:
    rows = scale.check_rows(200_000)
    goals = {name: goal for name, goal in read_goals("scale").items() if "check" in name}
    assert make_report("scale", rows, machine={}, seconds=1, goals=goals).missed == []
    assert scale.erlang_c(1, 0.6) == pytest.approx(0.6), "in M/M/1 the chance is the load"
    assert scale.erlang_c(2, 1.0) == pytest.approx(1 / 3), "and in M/M/2 Erlang's own example"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), start=st.integers(1, 5), concurrency=st.integers(1, 3))
def test_nobody_waits_while_a_slot_is_free_and_nobody_is_passed(
    seed: int, start: int, concurrency: int
) -> None:
    came, lasts = crowd(seed, 80, load=start * concurrency * 1.1)
    served = serve(came, lasts, Fleet(start=start, concurrency=concurrency))
    slots = start * concurrency
    assert (np.diff(served.starts) >= 0).all()
    for arrival, begin in zip(served.arrivals, served.starts, strict=True):
        assert running(served, begin) <= slots
        if begin > arrival:
            assert running(served, begin - 1e-6) == slots
    assert served.ends - served.starts == pytest.approx(lasts), "all work is done, once"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), start=st.integers(1, 6))
def test_one_instance_more_never_makes_anybody_wait_longer(seed: int, start: int) -> None:
    came, lasts = crowd(seed, 120, load=start)
    few, more = (serve(came, lasts, Fleet(start=count)) for count in (start, start + 1))
    assert (more.starts <= few.starts + 1e-9).all()


def test_littles_law_holds_while_it_scales_and_every_job_ends() -> None:
    served = scaled(jobs=3000)
    assert served.dropped == 0 and served.instances_peak(0) > 1
    seen = served.looks[:, 2].mean()
    inside = (served.ends - served.arrivals).sum() / served.looks[-1, 0]
    assert seen == pytest.approx(inside, rel=0.02)
    busy = (served.ends - served.starts).sum()
    assert busy <= served.instance_seconds(0, served.looks[-1, 0])


def test_an_endpoint_that_sleeps_wakes_by_the_step_policy_and_sleeps_again() -> None:
    fleet = Fleet(start=0, delay_s=300, policies=course_policies(0, 2))
    served = serve([30.0, 4000.0], np.array([60.0, 60.0]), fleet)
    assert served.waits[0] == pytest.approx(120 + 300 - 30), "two minutes of alarm, then the start"
    assert served.started(0, 1e9) == 2, "a quarter of an hour without a job: it slept in between"
    asleep = served.looks[:, 1] == 0
    assert asleep[(served.looks[:, 0] > 2000) & (served.looks[:, 0] < 4000)].all()


def test_a_job_that_waits_too_long_is_dropped_and_no_later_one_suffers() -> None:
    served = serve([0, 1, 2, 300], np.array([100.0, 100, 100, 10]), Fleet(start=1, ttl_s=110))
    assert np.isnan(served.starts[2]) and served.dropped == 1
    assert list(served.starts[[0, 1, 3]]) == [0, 100, 300]


def test_it_stays_within_its_limits_and_bills_no_instance_twice() -> None:
    served = scaled(1, jobs=1500)
    assert served.looks[:, 1].max() <= 6
    whole = served.instance_seconds(0, 1e9)
    halves = served.instance_seconds(0, 5000) + served.instance_seconds(5000, 1e9)
    assert whole == pytest.approx(halves)


def test_the_same_seed_gives_the_same_rows_and_another_one_others() -> None:
    size = replace(scale.SIZES[1], days=0.5)
    one, again, other = (scale.size_rows(size, GIVEN, (seed,)) for seed in (3, 3, 4))
    assert one == again != other


def test_a_day_swings_and_has_as_many_people_as_it_should() -> None:
    came = arrivals(20_000, 2, 0.8, np.random.default_rng(0))
    assert len(came) == pytest.approx(40_000, rel=0.02)
    assert (np.diff(came) >= 0).all() and came[0] >= 0 and came[-1] <= 2 * DAY
    hours = np.histogram(came % DAY, bins=24, range=(0, DAY))[0]
    assert 6 < hours[12] / hours[0] < 12


def test_owners_come_back_for_as_many_pictures_as_is_given() -> None:
    times, whose = pictures(100, 3, GIVEN, np.random.default_rng(0))
    assert len(times) == len(whose) == pytest.approx(100 * 3 * 4 * 5, rel=0.1)
    fresh = np.unique(whose[whose >= 3000])
    assert len(fresh) == pytest.approx(300, rel=0.25), "one sitting in four is a new avatar's first"


HOUSE = House(least=1, most=1, picture_s=1.0, load_s=0.5, evict_s=2.0, room=2)


def test_an_avatar_is_loaded_once_and_again_after_it_had_to_go() -> None:
    whose = np.array([1, 1, 2, 3, 2, 1])
    painted = paint(np.arange(6) * 100.0, whose, HOUSE)
    assert painted.cold.tolist() == [True, False, True, True, False, True]
    assert painted.waits == pytest.approx([0.5, 0, 0.5, 2.5, 0, 2.5])


def test_the_gpu_paints_others_while_an_avatar_is_loaded_and_one_at_a_time() -> None:
    painted = paint(np.array([0.0, 10.0, 10.1, 10.2]), np.array([1, 2, 1, 1]), HOUSE)
    assert painted.starts == pytest.approx([0.5, 12.1, 10.1, 11.1])
    busy = np.sort(painted.starts)
    assert (np.diff(busy) >= HOUSE.picture_s - 1e-9).all()


def test_more_painters_than_one_share_the_work_and_keep_their_avatars() -> None:
    times, whose = pictures(3000, 0.2, GIVEN, np.random.default_rng(0))
    house = replace(HOUSE, least=4, most=4, room=60, picture_s=1.5)
    painted = paint(times, whose, house)
    assert not np.isnan(painted.starts).any()
    loads = painted.cold.sum()
    assert loads <= 1.2 * len(times) / 5, "little more than one load at a sitting"


@pytest.mark.parametrize("gpu, told", [("NVIDIA A10G", True), ("NVIDIA H200", False)])
def test_a_measured_job_counts_only_from_the_gpu_that_is_rented(
    gpu: str, told: bool, tmp_path: Path
) -> None:
    assert INSTANCES[TUNER].gpu == "A10G"
    rows = [
        scale.Row(name="gpu", value=gpu),
        scale.Row(name="gpu.time.job.warm", value=41.0),
        scale.Row(name="gpu.time.job.cold", value=None),
    ]
    make_report("fine-tune", rows, machine={}, seconds=1, goals={}).write(tmp_path)
    hosting = [scale.Row(name="load.ours", value=0.7)]
    make_report("hosting", hosting, machine={}, seconds=1, goals={}).write(tmp_path)
    facts = with_jobs(facts_here(tmp_path), warm=1600, cold=3800)
    assert (facts["job.warm"].value == 41.0) is told
    assert facts["job.cold"].value == GIVEN["job.cold"].value
    assert facts["avatar.load"].value == 0.7
    said = {row.name: row.value for row in scale.given_rows(facts)}["given.measured-here"]
    assert "avatar.load" in str(said) and ("job.warm" in str(said)) is told


def test_every_number_that_goes_in_says_where_it_comes_from() -> None:
    for fact in GIVEN.values():
        assert fact.how in ("measured", "cited", "counted", "assumed") and fact.source
        assert fact.how != "cited" or fact.source.startswith("https://")
    for limit in limits(GIVEN, 73, 1.5):
        assert limit.how in ("cited", "reported") and limit.next
        assert limit.source.startswith("https://") is (limit.how == "cited")


def test_limits_come_in_the_order_in_which_they_bite() -> None:
    found = limits(GIVEN, 73, 1.5)
    assert [one.bites for one in found] == sorted(one.bites for one in found)
    assert found[0].key == "gpu-quota" and found[0].bites == 0
    slower = {one.key: one.bites for one in limits(GIVEN, 146, 3.0)}
    instances = next(one for one in found if one.key == "instances")
    assert slower["instances"] == pytest.approx(instances.bites / 2)


def test_the_page_is_filled_from_a_report(tmp_path: Path) -> None:
    small = [
        replace(size, days=max(0.3, 10 / size.avatars), cells=max(size.avatars // 500, 1))
        for size in scale.SIZES[:2]
    ]
    rows = [*scale.given_rows(GIVEN), *scale.check_rows(2000), *scale.limit_rows(GIVEN)]
    for size in small:
        rows += scale.size_rows(size, GIVEN, (0,))
    rows += [
        replace(row, name=row.name.replace("1000.", "1000000.", 1))
        for row in rows
        if row.name.startswith("1000.")
    ]
    report = make_report("scale", rows, machine={}, seconds=1)
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    write_page(report, page)
    text = page.read_text(encoding="utf-8")
    for content in sections(report).values():
        assert content in text
    json.dumps(report.results, allow_nan=False)
