"""What an AWS operation needs of IAM: actions, and the resources that a request touches.

``helpers.cloud.permissions`` is the table of what the course calls, written with ``rows``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import jmespath

_REGIONAL = "arn:aws:{service}:{region}:{account}:{rest}"
_PLACES = {"s3": "arn:aws:s3:::{rest}", "iam": "arn:aws:iam::{account}:{rest}"}
_IAM_NAMES = {
    "resourcegroupstaggingapi": "tag",
    "sagemaker-runtime": "sagemaker",
    "service-quotas": "servicequotas",
}
_FILLED = re.compile(r"\{(?P<path>[\w.\[\]]+)(?:\|(?P<part>name|stem))?\}")


@dataclass(frozen=True, kw_only=True)
class Need:
    """One action that IAM must allow, on which resource.

    ``on`` is ``*``, or the part of an ARN behind the account, or a whole ARN, with the request's
    parameters in braces (JMESPath; ``|name`` takes what follows the last slash, ``|stem`` what
    stands before the first colon).
    """

    action: str
    on: str

    def resources(self, parameters: Mapping[str, Any], *, region: str, account: str) -> list[str]:
        """The ARNs that a request with these parameters touches."""
        if self.on == "*":
            return ["*"]
        found = [_values(field, parameters) for field in _FILLED.finditer(self.on)]
        texts = [_fill(self.on, values) for values in product(*found)]
        return [self._arn(text, region, account) for text in texts]

    def _arn(self, text: str, region: str, account: str) -> str:
        if text.startswith("arn:"):
            return text
        service = self.action.partition(":")[0]
        place = _PLACES.get(service, _REGIONAL)
        return place.format(service=service, region=region, account=account, rest=text)


@dataclass(frozen=True, kw_only=True)
class Permission:
    """An operation, as boto3 names it, who calls it, what it needs and what for."""

    caller: str
    service: str
    operation: str
    needs: tuple[Need, ...]
    why: str

    @property
    def key(self) -> tuple[str, str]:
        return self.service, self.operation


def _values(field: re.Match[str], parameters: Mapping[str, Any]) -> list[str]:
    found = jmespath.search(field["path"], parameters)
    values = found if isinstance(found, list) else [] if found is None else [found]
    if field["part"] == "name":
        return [str(value).rpartition("/")[2] for value in values]
    if field["part"] == "stem":
        return [str(value).partition(":")[0] for value in values]
    return [str(value) for value in values]


def _fill(text: str, values: tuple[str, ...]) -> str:
    left = iter(values)
    return _FILLED.sub(lambda _: next(left), text)


def rows(caller: str, service: str, *lines: tuple[str, str, str]) -> Iterator[Permission]:
    """Permissions from lines of (operation, needs, why).

    Needs are separated by commas, each ``[action ]resource``. An action that is left out has the
    operation's name, and one without a service belongs to the operation's service.
    """
    prefix = _IAM_NAMES.get(service, service)
    for operation, needs, why in lines:
        found = []
        for need in needs.split(", "):
            action, _, on = need.rpartition(" ")
            action = action or operation
            found.append(Need(action=action if ":" in action else f"{prefix}:{action}", on=on))
        yield Permission(
            caller=caller, service=service, operation=operation, needs=tuple(found), why=why
        )
