"""What goes wrong with an account until a test ends."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from helpers.cloud.drill import Answer, answered
from helpers.cloud.session import Cloud


class Faults:
    """Single operations of one ``cloud`` answer as AWS might, without being sent, until ``end``."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._hooks = cloud, ExitStack()

    def answer(self, service: str, operation: str, members: dict[str, Any]) -> None:
        """Every call of the operation is answered with ``members``."""
        hook = answered(self._cloud, service, operation, lambda: (200, members))
        self._hooks.enter_context(hook)

    def refuse(
        self, service: str, operation: str, code: str, *, times: int = 1_000_000
    ) -> list[int]:
        """The first ``times`` calls are refused with the error ``code``; the list counts them."""
        made: list[int] = []

        def refusal() -> Answer | None:
            if len(made) == times:
                return None
            made.append(1)
            return 400, {"Error": {"Code": code, "Message": f"{operation} was refused in a test"}}

        self._hooks.enter_context(answered(self._cloud, service, operation, refusal))
        return made

    def end(self) -> None:
        self._hooks.close()
