"""Service Quotas: the list of SageMaker's quotas, and asking for more.

Quotas are found by their names, which say what they are about; AWS's codes do not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.kinds import pages
from helpers.cloud.session import Cloud
from helpers.errors import QuotaError

SAGEMAKER = "sagemaker"
MOST_ASKED = 4
"""The largest value that the course asks for: twice what it needs of any type."""


def list_quotas(cloud: Cloud) -> dict[str, Mapping[str, Any]]:
    """Every quota of SageMaker in this region, by name. Raises ``QuotaError``.

    Applied values win over AWS's defaults, and defaults fill in for quotas that have no applied
    value. Dozens of pages on AWS: some seconds.
    """
    try:
        return {
            quota["QuotaName"]: quota
            for operation in ("list_aws_default_service_quotas", "list_service_quotas")
            for quota in pages(cloud, "service-quotas", operation, "Quotas", ServiceCode=SAGEMAKER)
        }
    except (ClientError, BotoCoreError) as trouble:
        raise QuotaError(
            "the quotas cannot be read",
            str(trouble),
            "the learner's policy needs servicequotas:ListServiceQuotas and "
            "servicequotas:ListAWSDefaultServiceQuotas",
        ) from trouble


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for more: ``status`` in AWS's words, or ``NOT MADE`` while nobody confirmed it."""

    name: str
    value: float
    status: str
    id: str = ""
    case: str = ""

    @property
    def open(self) -> bool:
        """Whether AWS has yet to decide."""
        return self.status in ("PENDING", "CASE_OPENED")

    def __str__(self) -> str:
        text = f"{self.name}: {self.value:g} asked for, {self.status}"
        if not self.id:
            return f"{text}. Nothing was sent: call it again with confirm=True"
        return f"{text}, support case {self.case}" if self.case else text


def request_increase(cloud: Cloud, name: str, value: int, *, confirm: bool = False) -> Request:
    """Ask AWS to raise a quota to ``value`` (4 at most). Does nothing without ``confirm=True``.

    Raises ``QuotaError`` when the region has no such quota, when it cannot be raised or suffices
    already, when a request is open, and when AWS refuses.
    """
    quota = _quota(cloud, name)
    asked, why = min(value, MOST_ASKED), ""
    if not quota["Adjustable"]:
        why = "AWS does not adjust it"
    elif quota["Value"] >= asked:
        why = f"it is {quota['Value']:g} already, and the course asks for {MOST_ASKED} at most"
    elif (last := latest_request(cloud, quota["QuotaCode"])) and last.open:
        why = f"a request for {last.value:g} is {last.status}"
    if why:
        raise QuotaError(f"no increase of {name} was asked for", why)
    if not confirm:
        return Request(name=name, value=asked, status="NOT MADE")
    try:
        made = cloud.client("service-quotas").request_service_quota_increase(
            ServiceCode=SAGEMAKER, QuotaCode=quota["QuotaCode"], DesiredValue=float(asked)
        )
    except (ClientError, BotoCoreError) as trouble:
        raise QuotaError(f"AWS took no request for {name}", str(trouble)) from trouble
    return _request(made["RequestedQuota"])


def request_status(cloud: Cloud, name: str) -> Request | None:
    """The latest request to raise a quota; ``None`` if there is none. Raises ``QuotaError``."""
    return latest_request(cloud, _quota(cloud, name)["QuotaCode"])


def watch_request(cloud: Cloud, name: str, *, for_s: float) -> Iterator[Request]:
    """Each new state of the latest request, until it is decided or ``for_s`` seconds are over.

    AWS decides small requests within minutes or hours, others within days: come back another time
    with ``request_status``. Raises ``QuotaError``.
    """
    code, until, shown = _quota(cloud, name)["QuotaCode"], time.monotonic() + for_s, ""
    while (request := latest_request(cloud, code)) is not None:
        if request.status != shown:
            shown = request.status
            yield request
        if not request.open or time.monotonic() > until:
            return
        time.sleep(cloud.pause(15))


def latest_request(cloud: Cloud, code: str) -> Request | None:
    """The latest request for a quota by its code. Raises ``QuotaError``."""
    history = pages(
        cloud,
        "service-quotas",
        "list_requested_service_quota_change_history_by_quota",
        "RequestedQuotas",
        ServiceCode=SAGEMAKER,
        QuotaCode=code,
    )
    try:
        newest = max(history, key=lambda item: item["Created"], default=None)
    except (ClientError, BotoCoreError) as trouble:
        raise QuotaError("the requests for more cannot be read", str(trouble)) from trouble
    return _request(newest) if newest else None


def _quota(cloud: Cloud, name: str) -> Mapping[str, Any]:
    found = list_quotas(cloud).get(name)
    if found is None:
        raise QuotaError(
            f"there is no quota {name}",
            f"{cloud.region} lists none of that name",
            "check the name, or take another instance type or region",
        )
    return found


def _request(told: Mapping[str, Any]) -> Request:
    return Request(
        name=told["QuotaName"],
        value=told["DesiredValue"],
        status=told["Status"],
        id=told["Id"],
        case=told.get("CaseId", ""),
    )
