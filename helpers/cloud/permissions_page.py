"""docs/permissions.md, written from the table: ``python -m helpers.cloud.permissions_page``."""

from __future__ import annotations

from collections.abc import Iterable

from helpers.cloud.iam import Need, Permission
from helpers.cloud.permissions import CALLERS, FROM_SERVICES, PERMISSIONS
from helpers.settings import ROOT

PAGE = ROOT / "docs" / "permissions.md"
_INTRODUCTION = """\
# Permissions

Every AWS operation that the course calls, and the IAM actions it needs. When AWS answers *not
authorized to perform*, look the action up here: the row says what it is for and on which resource.

`infrastructure/avatar-course.yaml` makes roles and policies that allow exactly this (see
[infrastructure](../infrastructure/README.md)). This page is written by
`.venv/bin/python -m helpers.cloud.permissions_page` from `helpers/cloud/permissions.py`; a test
compares it with that table, the table with the code, and the template with the table. Nothing of it
has been tried on AWS itself: actions and resource types are those of IAM's reference as cfn-lint
ships it.

Words in braces are parameters of the request. `*` means that IAM cannot narrow the action to a
resource, or that listing by name is the point; such actions only look.
"""


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for caller, words in CALLERS.items():
        found = [row for row in PERMISSIONS if row.caller == caller]
        parts.append(f"## {words}\n\n{_operations(found)}")
        if needs := FROM_SERVICES.get(caller):
            parts.append(
                "AWS's services do more in the same role's name:\n\n"
                + _table(("action", "why"), ((f"`{name}`", why) for name, why in needs.items()))
            )
    return "\n".join(parts)


def _operations(found: Iterable[Permission]) -> str:
    return _table(
        ("service", "operation", "IAM action and resource", "why"),
        (
            (row.service, row.operation, "<br>".join(map(_need, row.needs)), row.why)
            for row in found
        ),
    )


def _need(need: Need) -> str:
    return f"`{need.action}` on `{need.on}`".replace("|", "\\|")


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rule = tuple("---" for _ in head)
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
