"""Costs: said before, metered while it runs, added up after; also when the ledger is lost."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.costs import estimate, expiry_tag, extend, read_expiry
from helpers.cloud.deployment import Deployment
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.ledger import Entry, Ledger
from helpers.cloud.meter import Meter, Running, bill, running
from helpers.cloud.resources import Resource, remove
from helpers.cloud.session import EXPIRY_TAG, Cloud
from helpers.errors import ServiceError
from tests.local.conftest import model_archive


def deployed(cloud: Cloud, folder: Path, **more: Any) -> Deployment:
    made = deploy_async(
        cloud, cloud.ledger(), name="tune", image=djl_image(cloud.region),
        model_data=model_archive(folder), **{"instance_type": "ml.g5.xlarge", **more},
    )  # fmt: skip
    wait_in_service(cloud, "tune")
    return made


def gone(cloud: Cloud, kind: str, name: str) -> None:
    remove(cloud, Resource(kind=kind, name=name))
    until = time.monotonic() + 30
    while running(cloud, Ledger(Path("/nowhere"))).items and time.monotonic() < until:
        time.sleep(0.05)


def test_an_estimate_is_told_before_the_endpoint_is_made(own_cloud: Cloud, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def listen(words: str) -> None:
        told.append((words, len(own_cloud.client("sagemaker").list_models()["Models"])))

    settings = dataclasses.replace(own_cloud.settings, hours=2.0)
    cloud = dataclasses.replace(own_cloud, settings=settings, announce=listen)
    made = deployed(cloud, tmp_path, instance_count=2)
    ((words, models),) = told
    assert models == 0, "before anything was created"
    assert words == str(made.estimate)
    assert "2 x ml.g5.xlarge would cost on AWS $2.82 an hour, $5.63 in 2 h (table 2026-11" in words
    assert made.price_per_hour == pytest.approx(2 * 1.408)


@given(count=st.integers(1, 9), hours=st.floats(0.1, 100))
def test_an_estimate_is_price_times_count_times_hours(
    cloud: Cloud, count: int, hours: float
) -> None:
    found = estimate(cloud, "it", "ml.g5.2xlarge", count=count, hours=hours)
    assert found.dollars == pytest.approx(1.515 * count * hours)
    unknown = estimate(cloud, "it", "ml.p5.48xlarge", count=count, hours=hours)
    assert unknown.dollars is None and "$? an hour" in str(unknown) and "$0" not in str(unknown)


def test_an_endpoint_says_when_it_expires_and_can_be_extended(
    own_cloud: Cloud, tmp_path: Path
) -> None:
    made = deployed(own_cloud, tmp_path)
    sagemaker = own_cloud.client("sagemaker")
    arn = sagemaker.describe_endpoint(EndpointName=made.endpoint)["EndpointArn"]
    first = read_expiry(sagemaker.list_tags(ResourceArn=arn)["Tags"])
    assert first and abs(first - datetime.now(UTC) - timedelta(hours=4)) < timedelta(minutes=2)
    later = extend(own_cloud, "tune", 9)
    assert read_expiry(sagemaker.list_tags(ResourceArn=arn)["Tags"]) == later > first
    (item,) = running(own_cloud, own_cloud.ledger()).items
    assert item.expires == later and not item.expired
    for hours in (0, -1, 169, float("nan")):
        with pytest.raises(ServiceError, match="cannot be kept"):
            extend(own_cloud, "tune", hours)
    with pytest.raises(ServiceError, match="cannot be extended"):
        extend(own_cloud, "nobody", 1)


def test_a_forgotten_endpoint_is_named(own_cloud: Cloud, tmp_path: Path) -> None:
    made = deployed(own_cloud, tmp_path)
    arn = own_cloud.client("sagemaker").describe_endpoint(EndpointName=made.endpoint)["EndpointArn"]
    tag = {"Key": EXPIRY_TAG, "Value": "2026-01-01T00:00:00+00:00"}
    own_cloud.client("sagemaker").add_tags(ResourceArn=arn, Tags=[tag])
    meter = running(own_cloud, own_cloud.ledger())
    assert [item.name for item in meter.expired] == [made.endpoint]
    assert "FORGOTTEN?" in str(meter)


def test_the_meter_runs_without_a_ledger_and_the_bill_outlives_the_endpoint(
    own_cloud: Cloud, tmp_path: Path
) -> None:
    made, ledger = deployed(own_cloud, tmp_path), own_cloud.ledger()
    lost = Ledger(tmp_path / "lost.jsonl")
    for book in (ledger, lost):
        (item,) = running(own_cloud, book).items
        assert (item.name, item.status, item.instances, item.per_hour) == (
            made.endpoint, "InService", "1 x ml.g5.xlarge", 1.408,
        )  # fmt: skip
        assert 0 < item.hours < 0.1 and item.cost == pytest.approx(1.408 * item.hours, rel=0.1)
    assert "by its tags" in str(bill(own_cloud, lost))
    (charge,) = bill(own_cloud, ledger).charges
    assert charge.ended is None and charge.remark == ""
    gone(own_cloud, "endpoint", made.endpoint)
    assert str(running(own_cloud, ledger)) == "Nothing is running."
    (charge,) = bill(own_cloud, ledger).charges
    assert "unknown time" in charge.remark, "somebody else removed it"
    ledger.removed("endpoint", made.endpoint)
    (charge,) = bill(own_cloud, ledger).charges
    assert charge.ended and charge.remark == "" and charge.dollars and charge.dollars < 0.5
    total = bill(own_cloud, ledger)
    assert total.dollars == charge.dollars and "would have cost on AWS" in str(total)
    assert bill(own_cloud, lost).charges == ()


def test_a_name_used_twice_is_billed_twice_and_a_refused_call_never(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for _ in range(2):
        with ledger.creating("endpoint", "e", price_per_hour=2.0, instances="1 x ml.big"):
            pass
        ledger.removed("endpoint", "e")
    with pytest.raises(RuntimeError), ledger.creating("endpoint", "e", price_per_hour=2.0):
        raise RuntimeError("no quota")
    found = ledger.history()
    assert [(entry.name, entry.instances) for entry in found] == [("e", "1 x ml.big")] * 2
    assert ledger.open() == [] and all(entry.removed for entry in found)


@given(price=st.none() | st.floats(0, 100), hours=st.floats(0, 1000))
def test_an_entry_costs_its_hours(price: float | None, hours: float) -> None:
    entry = Entry(
        kind="endpoint", name="e", price_per_hour=price, created=1e9, removed=1e9 + hours * 3600
    )
    assert entry.hours == pytest.approx(hours, abs=1e-6)
    assert entry.cost is None if price is None else entry.cost == pytest.approx(price * entry.hours)


def test_an_unknown_price_is_not_free(own_cloud: Cloud, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.planned("endpoint", "dear", price_per_hour=None, instances="1 x ml.new")
    ledger.planned("endpoint", "known", price_per_hour=2.0)
    assert ledger.price_per_hour() == 2.0
    found = bill(own_cloud, ledger)
    assert {charge.dollars is None for charge in found.charges} == {True, False}
    assert "and 1 without a known price" in str(found)


def test_when_aws_cannot_be_asked_the_ledger_speaks(cloud: Cloud, tmp_path: Path) -> None:
    class Expired:
        def get_paginator(self, name: str) -> Any:
            raise ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "old"}}, name)

    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.planned("endpoint", "e", price_per_hour=2.0, instances="1 x ml.big")
    deaf = dataclasses.replace(cloud, _clients={"resourcegroupstaggingapi": Expired()})
    meter = running(deaf, ledger)
    assert [item.name for item in meter.items] == ["e"]
    assert "could not be asked" in str(meter) and "$2.00 an hour" in str(meter)
    assert "could not be asked" in str(bill(deaf, ledger))


@given(hours=st.floats(0.01, 1000))
def test_an_expiry_is_read_back(hours: float) -> None:
    ends = read_expiry([{"Key": "other", "Value": "x"}, expiry_tag(hours)])
    assert ends and ends.tzinfo
    assert abs((ends - datetime.now(UTC)).total_seconds() - hours * 3600) < 5


@pytest.mark.parametrize("value", ["", "tomorrow", "2026-13-01"])
def test_an_expiry_that_cannot_be_read_is_none(value: str) -> None:
    assert read_expiry([{"Key": EXPIRY_TAG, "Value": value}]) is None
    assert read_expiry([]) is None
    naive = read_expiry([{"Key": EXPIRY_TAG, "Value": "2026-11-21T10:00:00"}])
    assert naive == datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_words_differ_between_here_and_aws() -> None:
    item = Running(
        name="e", status="InService", instances="1 x ml.g5.xlarge", per_hour=1.0,
        price_source="", created=datetime.now(UTC) - timedelta(hours=2),
    )  # fmt: skip
    here, there = (str(Meter(items=(item,), local=local)) for local in (True, False))
    assert "would cost on AWS $1.00 an hour, $2.00 so far; it has no expiry" in here
    assert "costs $1.00 an hour" in there and "course.py clean" in there
