"""Names of a cohort's learners: ``spring-07`` is seat 7 of ``spring``, and no person's name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from helpers.errors import SettingsError, fit_to_print

MOST = 999
_NAME = re.compile(r"(?!.*--)[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?")
_SEAT = re.compile(r"(?P<cohort>[a-z0-9-]*[a-z0-9])-(?P<seat>\d{2,3})", re.ASCII)


@dataclass(frozen=True)
class Cohort:
    """A cohort by its name: up to 16 lower-case letters, digits and single hyphens.

    ``spring`` holds ``spring-07``. It does not hold ``spring-26-07``, which is of ``spring-26``.
    Raises ``SettingsError`` for a name that would make no learner's.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingsError(
                f"{fit_to_print(self.name)!r} is no name for a cohort",
                "up to 16 lower-case letters, digits and single hyphens, none at either end",
                "choose such a name",
            )

    def learner(self, seat: int) -> str:
        """The learner of a seat, for ``AVATAR_LEARNER``. Raises ``SettingsError``."""
        if not 1 <= seat <= MOST:
            raise SettingsError(f"there is no seat {seat}", f"they are numbered from 1 to {MOST}")
        return f"{self.name}-{seat:02d}"

    def learners(self, seats: int) -> tuple[str, ...]:
        """Those of the first so many seats."""
        return tuple(self.learner(seat) for seat in range(1, seats + 1))

    def holds(self, learner: str) -> bool:
        return cohort_of(learner) == self.name


def cohort_of(learner: str) -> str:
    """The cohort that a learner's name belongs to; empty for a learner without a seat."""
    found = _SEAT.fullmatch(learner)
    return found["cohort"] if found else ""
