"""Quotas: what the course needs is seen before it fails, and asking for more is guarded."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from helpers.cloud.alternatives import alternatives, suits
from helpers.cloud.images import IMAGES
from helpers.cloud.instances import INSTANCES
from helpers.cloud.needs import COURSE, TOTAL_QUOTA, need_of, quotas_needed
from helpers.cloud.quota_requests import (
    MOST_ASKED,
    list_quotas,
    request_increase,
    request_status,
    watch_request,
)
from helpers.cloud.quotas import Quota, QuotaBook, quota_report
from helpers.cloud.session import Cloud, open_cloud
from helpers.errors import QuotaError
from helpers.local.launch import stop
from helpers.settings import ROOT, Settings
from tests.local.conftest import Deploy, deploy, ledger, topics  # noqa: F401

ZERO = "ml.g5.4xlarge for endpoint usage"


@pytest.fixture
def unhurried(tmp_path: Path) -> Iterator[Cloud]:
    """A local SageMaker that takes a second to change its mind: time enough to look."""
    settings = Settings(threads=1, state=tmp_path / "state", learner="ada")
    yield open_cloud(settings)
    stop(settings)


def test_the_report_covers_what_the_notebooks_run(cloud: Cloud) -> None:
    report = quota_report(cloud)
    found = {quota.name: quota for quota in report.quotas}
    assert {need.quota for need in COURSE} | {TOTAL_QUOTA} == set(found)
    assert found["ml.g5.2xlarge for endpoint usage"].needed == 2, "fine-tuning and avatars at once"
    assert found["ml.g5.xlarge for endpoint usage"].needed == 3, "notebook 03 grows to three"
    assert "ml.g4dn.xlarge for endpoint usage" in found
    assert any(name.endswith("for training job usage") for name in found)
    assert report.short == () and {q.offered[:3] for q in report.quotas} == {"yes"}
    text, html = str(report), report._repr_html_()
    for quota in report.quotas:
        assert quota.name in text and quota.name in html
    assert cloud.region in text


def test_what_others_use_is_counted(cloud: Cloud, deploy: Deploy) -> None:  # noqa: F811
    name = "ml.g5.xlarge for endpoint usage"
    before, total = QuotaBook(cloud).quota(name), QuotaBook(cloud).quota(TOTAL_QUOTA)
    deploy(instance_count=2)
    after = QuotaBook(cloud)
    assert after.quota(name).in_use == (before.in_use or 0) + 2
    assert after.quota(TOTAL_QUOTA).in_use == (total.in_use or 0) + 2
    assert after.quota("ml.g5.xlarge for training job usage").in_use == 0
    assert after.quota("ml.t3.medium for notebook instance usage").in_use == 0


def test_a_type_that_the_region_lacks_is_told_from_one_with_a_quota_of_zero(cloud: Cloud) -> None:
    book = QuotaBook(cloud)
    gone, zero = book.quota("ml.p2.xlarge for endpoint usage"), book.quota(ZERO)
    assert (gone.applied, gone.sold) == (None, False) and "not offered" in gone.verdict
    assert (zero.applied, zero.sold) == (0, True) and zero.verdict.startswith("zero")
    unsold = book.quota("ml.p4d.24xlarge for endpoint usage")
    assert unsold.code and not unsold.sold, "a quota is listed, and nothing is for sale"
    with pytest.raises(QuotaError, match="lists none of that name"):
        request_status(cloud, gone.name)


def test_nothing_is_asked_without_a_confirmation(own_cloud: Cloud) -> None:
    kept = request_increase(own_cloud, ZERO, 1)
    assert kept.status == "NOT MADE" and "confirm=True" in str(kept) and not kept.open
    assert request_status(own_cloud, ZERO) is None
    assert list(watch_request(own_cloud, ZERO, for_s=5)) == []


def test_a_confirmed_request_is_made_once_watched_and_granted(unhurried: Cloud) -> None:
    made = request_increase(unhurried, ZERO, 1, confirm=True)
    assert made.open and made.id
    with pytest.raises(QuotaError, match="A request for 1 is"):
        request_increase(unhurried, ZERO, 2, confirm=True)
    states = [request.status for request in watch_request(unhurried, ZERO, for_s=10)]
    assert states[-1] == "APPROVED" and len(states) == len(set(states))
    assert list_quotas(unhurried)[ZERO]["Value"] == 1
    with pytest.raises(QuotaError, match="It is 1 already"):
        request_increase(unhurried, ZERO, 1, confirm=True)


def test_the_value_asked_for_is_capped(own_cloud: Cloud) -> None:
    made = request_increase(own_cloud, ZERO, 10_000, confirm=True)
    assert made.value == MOST_ASKED
    enough = "ml.g5.xlarge for endpoint usage"
    with pytest.raises(QuotaError, match="already"):
        request_increase(own_cloud, enough, 10_000, confirm=True)
    with pytest.raises(QuotaError, match="does not adjust"):
        request_increase(own_cloud, "Maximum payload size for endpoint invocation", 9, confirm=True)


def test_an_open_request_is_seen_in_the_report(
    unhurried: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helpers.cloud.quotas.quotas_needed", lambda: {ZERO: 1})
    assert quota_report(unhurried).quotas[0].verdict == "zero: ask for more, or take another"
    request_increase(unhurried, ZERO, 2, confirm=True)
    (quota,) = quota_report(unhurried).quotas
    assert not quota.enough and quota.verdict.startswith("zero: asked for 2, ")
    list(watch_request(unhurried, ZERO, for_s=10))
    assert quota_report(unhurried).short == ()


def test_a_policy_that_forbids_to_look_is_named(cloud: Cloud) -> None:
    blind = dataclasses.replace(cloud, _clients={"service-quotas": Forbidden()})
    with pytest.raises(QuotaError, match="servicequotas:ListServiceQuotas"):
        quota_report(blind)
    half = dataclasses.replace(
        cloud, _clients={"sagemaker": Forbidden(), "service-quotas": cloud.client("service-quotas")}
    )
    report = quota_report(half)
    assert {quota.in_use for quota in report.quotas} == {None} and "?" in str(report)


class Forbidden:
    """A client that may do nothing."""

    def get_paginator(self, name: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": name}}, name)


@given(st.sampled_from(COURSE), st.sampled_from(sorted(INSTANCES)))
def test_an_alternative_can_do_the_work(need: Any, instance_type: str) -> None:
    instance = INSTANCES[instance_type]
    if not suits(instance, need):
        return
    assert instance.gpu_memory >= need.gpu_memory
    if need.gpu_memory:
        assert instance.family in IMAGES[need.image].families
    if need.multi_model:
        assert instance.family in ("p3", "g4dn", "g5")


def test_the_courses_own_choice_is_among_the_alternatives() -> None:
    for need in COURSE:
        assert suits(INSTANCES[need.instance_type], need), need


def test_alternatives_are_ranked_by_what_can_start_and_then_by_price(cloud: Cloud) -> None:
    for notebook in ("01", "03", "08"):
        ranking = alternatives(cloud, need_of(notebook))
        ready = [choice.ready for choice in ranking.choices]
        assert ready == sorted(ready, reverse=True) and any(ready)
        for state in (True, False):
            dollars = [c.price.per_hour for c in ranking.choices if c.ready is state]
            assert dollars == sorted(dollars, key=lambda d: (d is None, d))
        text = str(ranking)
        for choice in ranking.choices:
            assert choice.instance.type in text and f"{choice.instance.gpu_memory:g} GiB" in text
    types = {choice.instance.type for choice in alternatives(cloud, need_of("08")).choices}
    assert not any(kind.startswith(("ml.g6", "ml.p3", "ml.m5")) for kind in types)


def test_what_a_notebook_deploys_is_among_the_needs() -> None:
    for path in ROOT.glob("notebooks/0*.ipynb"):
        code = [
            "".join(cell["source"])
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "code" and re.search("deploy_|scale_", str(cell["source"]))
        ]
        planned = [need for need in COURSE if need.notebook == path.stem[:2]]
        for kind in re.findall(r'instance_type="(ml\.[\w.]+)"', "\n".join(code)):
            assert kind in {need.instance_type for need in planned}, (path.stem, kind)
        for most in re.findall(r"\bmost=(\d+)", "\n".join(code)):
            assert int(most) in {need.count for need in planned}, (path.stem, most)


def test_needs_at_once_are_added_up() -> None:
    needed = quotas_needed()
    assert needed[TOTAL_QUOTA] == sum(need.count for need in COURSE if need.use == "hosting")


@given(applied=st.integers(0, 9), used=st.none() | st.integers(0, 9), needed=st.integers(1, 9))
def test_a_verdict_says_enough_only_when_it_is(applied: int, used: int | None, needed: int) -> None:
    quota = Quota(
        name=ZERO, code="L-1", needed=needed, applied=float(applied), in_use=used,
        adjustable=True, offered="yes",
    )  # fmt: skip
    assert quota.verdict.startswith("enough") is (applied >= needed)
    assert (quota.verdict == "enough") is (applied - (used or 0) >= needed)
