"""What IAM would say to a request: enough of its evaluation for the course's policies.

An explicit Deny wins, then an Allow, else no. Operators that the template does not use are an
error here, so that no condition is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.infrastructure.stack import as_list


def allows(
    statements: list[dict[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> bool:
    """Whether these statements let a caller do ``action`` on the ARN ``resource``."""
    effects = {
        statement["Effect"]
        for statement in statements
        if _any_like(statement["Action"], action)
        and _any_like(statement["Resource"], resource)
        and _meets(statement.get("Condition", {}), context or {})
    }
    return effects == {"Allow"}


def _meets(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    return all(
        _test(operator, wanted, context.get(key))
        for operator, tests in conditions.items()
        for key, wanted in tests.items()
    )


def _test(operator: str, wanted: Any, found: str | None) -> bool:
    if operator == "Null":
        return (found is None) == (str(wanted).lower() == "true")
    if found is None:
        return False
    if operator in ("StringEquals", "Bool"):
        return found in as_list(wanted)
    if operator == "StringLike":
        return _any_like(wanted, found)
    raise AssertionError(f"the tests do not know the condition operator {operator}")


def _any_like(patterns: Any, text: str) -> bool:
    return any(_pattern(pattern).fullmatch(text) for pattern in as_list(patterns))


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.compile("".join(parts), re.DOTALL)
