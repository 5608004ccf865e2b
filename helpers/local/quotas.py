"""Service Quotas for the local SageMaker: what a young account may start, and asking for more.

Names are AWS's, for every instance type that botocore knows. Codes are made up, as a reminder that
quotas are found by name. Values: AWS's defaults as learners meet them, which for most GPUs is
zero, and an account in which the types of the course have been granted already.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any

from helpers.local.context import Context
from helpers.local.store import cut, now
from helpers.local.wire import Call, Refusal, perform, service_model

Members = dict[str, Any]

SERVICE = {"ServiceCode": "sagemaker", "ServiceName": "Amazon SageMaker"}
TOTAL = "Number of instances across active endpoints"
MOST_INSTANCES = 10
"""Instances of one type that this machine will ever start: no request is granted beyond it."""

_USES = {  # how quotas call a use, and where botocore lists the instance types for it
    "endpoint usage": "ProductionVariantInstanceType",
    "training job usage": "TrainingInstanceType",
    "notebook instance usage": "InstanceType",
}
_RETIRED = ("ml.p2.", "ml.m4.", "ml.c4.")
"""Families that this region no longer offers."""

_GRANTED = {
    "ml.g4dn.xlarge for endpoint usage": 4,
    "ml.g5.xlarge for endpoint usage": MOST_INSTANCES,
    "ml.g5.2xlarge for endpoint usage": 4,
    "ml.g5.xlarge for training job usage": 1,
    "ml.g5.2xlarge for training job usage": 4,
    "ml.g4dn.2xlarge for training job usage": 1,
}
_FIXED = {"Maximum payload size for endpoint invocation": 6}
_OPEN = ("PENDING", "CASE_OPENED")


@cache
def default_values() -> Mapping[str, float]:
    """AWS's defaults by the name of the quota (from memory and public reports, 2026-11)."""
    sagemaker = service_model("sagemaker")
    return {TOTAL: 20, **_FIXED} | {
        f"{instance_type} for {use}": 0 if _is_scarce(instance_type) else 4
        for use, shape in _USES.items()
        for instance_type in sagemaker.shape_for(shape).enum
        if not instance_type.startswith(_RETIRED)
    }


def _is_scarce(instance_type: str) -> bool:
    family, _, size = instance_type.removeprefix("ml.").partition(".")
    large = size.removesuffix("xlarge")
    return family.startswith(("g", "p", "trn", "inf")) or (large.isdigit() and int(large) > 4)


@dataclass(kw_only=True)
class _Request:
    """Somebody asked for more; ``wait`` seconds later a case is opened, then it is decided."""

    name: str
    desired: float
    wait: float
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    created: datetime = field(default_factory=now)

    @property
    def status(self) -> str:
        waited = (now() - self.created).total_seconds()
        if waited < self.wait:
            return "PENDING"
        if waited < 2 * self.wait:
            return "CASE_OPENED"
        return "APPROVED" if self.desired <= MOST_INSTANCES else "DENIED"


class Quotas:
    """The quotas of the account and the requests to raise them; safe to use from many threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._requests = [
            _Request(**{**kept, "created": datetime.fromisoformat(kept["created"])})
            for kept in context.journal.all("quota request").values()
        ]
        self._names = {_code(name): name for name in default_values()}
        self.lock = threading.RLock()

    def answer(self, call: Call) -> Members:
        """Do what a Service Quotas call asks. Raises ``Refusal``."""
        with self.lock:
            return perform(self, call)

    def value(self, name: str) -> float:
        """What the account may have now; 0 for what the region does not offer."""
        granted = [
            request.desired
            for request in self._requests
            if request.name == name and request.status == "APPROVED"
        ]
        start = _GRANTED.get(name, default_values().get(name, 0))
        return max([start, *granted])

    def check_endpoints(self, asked: Counter[str], used: Counter[str]) -> None:
        """Raise ``Refusal`` when ``asked`` instances, by type, do not fit beside those in use."""
        for instance_type, delta in asked.items():
            name = f"{instance_type} for endpoint usage"
            self._check(name, delta, used[instance_type])
        self._check(TOTAL, asked.total(), used.total())

    def check_training(
        self, asked: Counter[str], used: Counter[str], *, spot: bool = False
    ) -> None:
        """The same for a training job; jobs on Spot instances count against a quota of their own,
        which is as large here."""
        for instance_type, delta in asked.items():
            use = "spot training job usage" if spot else "training job usage"
            limit = self.value(f"{instance_type} for training job usage")
            self._check(f"{instance_type} for {use}", delta, used[instance_type], limit)

    def _check(self, name: str, delta: int, used: int, limit: float | None = None) -> None:
        limit = self.value(name) if limit is None else limit
        if delta > 0 and used + delta > limit:
            raise Refusal(
                "ResourceLimitExceeded",
                f"The account-level service limit '{name}' is {limit:.0f} Instances, with current "
                f"utilization of {used} Instances and a request delta of {delta} Instances. Please "
                "use AWS Service Quotas to request an increase for this quota. If AWS Service "
                "Quotas is not available, contact AWS support to request an increase for this "
                "quota.",
            )

    def _list_service_quotas(self, asked: Members) -> Members:
        return self._listed(asked, default=False)

    def _list_aws_default_service_quotas(self, asked: Members) -> Members:
        return self._listed(asked, default=True)

    def _listed(self, asked: Members, *, default: bool) -> Members:
        _require_service(asked)
        wanted = asked.get("QuotaCode")
        codes = [code for code in sorted(self._names) if wanted in (None, code)]
        found, token = cut(codes, asked, usual=100, fault="InvalidPaginationTokenException")
        quotas = [self._shown(code, default=default) for code in found]
        return {"Quotas": quotas, "NextToken": token}

    def _get_service_quota(self, asked: Members) -> Members:
        self._require_quota(asked)
        return {"Quota": self._shown(asked["QuotaCode"], default=False)}

    def _get_aws_default_service_quota(self, asked: Members) -> Members:
        self._require_quota(asked)
        return {"Quota": self._shown(asked["QuotaCode"], default=True)}

    def _request_service_quota_increase(self, asked: Members) -> Members:
        name = self._require_quota(asked)
        if name in _FIXED:
            raise Refusal("InvalidResourceStateException", "The quota is not adjustable.")
        if any(request.status in _OPEN for request in self._requests_for(name)):
            raise Refusal(
                "ResourceAlreadyExistsException",
                "Only one open service quota increase request is allowed per quota.",
            )
        if asked["DesiredValue"] <= self.value(name):
            raise Refusal(
                "IllegalArgumentException",
                "You must provide a quota value greater than the current quota value",
            )
        request = _Request(name=name, desired=asked["DesiredValue"], wait=self._context.settle)
        kept = {**vars(request), "created": request.created.isoformat()}
        self._context.journal.save("quota request", request.id, kept)
        self._requests.append(request)
        return {"RequestedQuota": self._told(request)}

    def _get_requested_service_quota_change(self, asked: Members) -> Members:
        for request in self._requests:
            if request.id == asked["RequestId"]:
                return {"RequestedQuota": self._told(request)}
        raise Refusal("NoSuchResourceException", "The request failed: no such request exists.")

    def _list_requested_service_quota_change_history(self, asked: Members) -> Members:
        if "ServiceCode" in asked:
            _require_service(asked)
        return self._history(asked, self._requests)

    def _list_requested_service_quota_change_history_by_quota(self, asked: Members) -> Members:
        return self._history(asked, self._requests_for(self._require_quota(asked)))

    def _history(self, asked: Members, requests: list[_Request]) -> Members:
        status = asked.get("Status")
        chosen = [request for request in requests if status in (None, request.status)]
        newest = sorted(chosen, key=lambda request: request.created, reverse=True)
        found, token = cut(newest, asked, usual=100, fault="InvalidPaginationTokenException")
        return {"RequestedQuotas": [self._told(request) for request in found], "NextToken": token}

    def _requests_for(self, name: str) -> list[_Request]:
        return [request for request in self._requests if request.name == name]

    def _require_quota(self, asked: Members) -> str:
        """The name of the quota that is asked for."""
        _require_service(asked)
        name = self._names.get(asked["QuotaCode"])
        if name is None:
            raise Refusal(
                "NoSuchResourceException",
                "The request failed because the specified service quota does not exist.",
            )
        return name

    def _shown(self, code: str, *, default: bool) -> Members:
        name = self._names[code]
        owner = "" if default else self._context.account
        return {
            **SERVICE,
            "QuotaArn": f"arn:aws:servicequotas:{self._context.region}:{owner}:sagemaker/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": float(default_values()[name] if default else self.value(name)),
            "Unit": "None",
            "Adjustable": name not in _FIXED,
            "GlobalQuota": False,
            "QuotaAppliedAtLevel": "ACCOUNT",
        }

    def _told(self, request: _Request) -> Members:
        status = request.status
        return {
            **SERVICE,
            "Id": request.id,
            "CaseId": None if status == "PENDING" else str(int(request.id[:8], 16)),
            "QuotaCode": _code(request.name),
            "QuotaName": request.name,
            "DesiredValue": float(request.desired),
            "Status": status,
            "Created": request.created,
            "LastUpdated": now() if status in _OPEN else request.created,
            "Requester": f'{{"accountId":"{self._context.account}"}}',
            "QuotaArn": f"arn:aws:servicequotas:{self._context.region}:{self._context.account}:"
            f"sagemaker/{_code(request.name)}",
            "GlobalQuota": False,
            "Unit": "None",
            "QuotaRequestedAtLevel": "ACCOUNT",
        }


def _require_service(asked: Members) -> None:
    if asked["ServiceCode"] != SERVICE["ServiceCode"]:
        raise Refusal(
            "NoSuchResourceException",
            "The request failed because the specified service does not exist.",
        )


def _code(name: str) -> str:
    return f"L-{sha256(name.encode()).hexdigest()[:8].upper()}"
