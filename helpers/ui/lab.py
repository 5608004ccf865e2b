"""What every notebook begins and ends with: one setup call, notes from one to the next."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from helpers.errors import CourseError
from helpers.settings import Settings
from helpers.startup import hush_libraries

if TYPE_CHECKING:
    from helpers.bases import BaseModel
    from helpers.cloud.ledger import Ledger
    from helpers.cloud.meter import Bill, Meter
    from helpers.cloud.session import Cloud
    from helpers.photos.consent import Consent
    from helpers.photos.photo import Image
    from helpers.ui.exercises import Checks

Value = TypeVar("Value")


@dataclass(frozen=True)
class Lab:
    """One notebook's view of the course. Nothing is started before it is asked for."""

    notebook: str
    settings: Settings

    @cached_property
    def cloud(self) -> Cloud:
        """AWS, or the local SageMaker, which starts if it does not run yet."""
        from helpers.cloud.session import open_cloud

        return open_cloud(self.settings, announce=print)

    @cached_property
    def ledger(self) -> Ledger:
        """Everything the course created, written down before it was created."""
        return self.cloud.ledger()

    @cached_property
    def base(self) -> BaseModel:
        """The base model of the settings."""
        from helpers.bases import shipped_base

        return shipped_base(self.settings.base_model, settings=self.settings)

    def pick(self, usual: Value, *, fast: Value) -> Value:
        """``usual``, or ``fast`` where ``AVATAR_FAST=1`` asks for a rehearsal."""
        return fast if self.settings.fast else usual

    def save(self, picture: Image, name: str) -> Image:
        """Save a picture as ``outputs/name``; returns it, for the cell to show."""
        self.settings.outputs.mkdir(parents=True, exist_ok=True)
        picture.save(self.settings.outputs / name)
        return picture

    def keep(self, **notes: str) -> None:
        """Write something down for the next notebook; it outlives this kernel."""
        path = self._notes_path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({**self._notes(), **notes}, indent=1))
        os.replace(temporary, path)

    def kept(self, name: str, *, made_in: str) -> str:
        """What an earlier notebook wrote down. Raises ``CourseError`` if it has not run."""
        notes = self._notes()
        if name not in notes:
            raise CourseError(
                f"this notebook needs the {name.replace('_', ' ')} that {made_in} makes",
                "it has not been made yet, or was cleaned up",
                f"run {made_in} first",
            )
        return notes[name]

    def forget(self) -> None:
        """Throw the notes away, as the last notebook does."""
        self._notes_path().unlink(missing_ok=True)

    def running(self) -> Meter:
        """What runs now, what it costs, and what was forgotten; print it."""
        from helpers.cloud.meter import running

        self._sign("done")  # every notebook ends with this call
        return running(self.cloud, self.ledger)

    def bill(self) -> Bill:
        """What everything cost so far, the removed endpoints included."""
        from helpers.cloud.meter import bill

        return bill(self.cloud, self.ledger)

    def consent(self, *, subject: str, given_by: str, purpose: str, days: int = 30) -> Consent:
        """Write down who agreed to photos of whom, and what for. Raises ``PhotoError``."""
        from helpers.photos.consent import record_consent

        return record_consent(
            self.settings, subject=subject, given_by=given_by, purpose=purpose, days=days
        )

    def require_consent(self, subject: str) -> Consent:
        """The consent that notebook 00 wrote down. Raises ``PhotoError`` where none holds."""
        from helpers.photos.consent import require_consent

        return require_consent(self.settings, subject)

    def exercise(self, number: int, *answers: object) -> Checks:
        """The checks of an exercise, for a ``with`` block; ``answers`` may still be ``...``."""
        from helpers.ui.exercises import Checks

        return Checks(f"Exercise {number}", *answers)

    def _sign(self, event: str) -> None:
        """For the instructor's board, if this learner has a seat in a cohort."""
        from helpers.cohort.seats import cohort_of

        if cohort_of(self.settings.learner):
            from helpers.cohort.progress import leave_sign

            leave_sign(self.cloud, self.notebook, event)

    def _notes_path(self) -> Path:
        name = f"notes-{self.settings.backend}-{self.settings.learner}.json"
        return self.settings.state / name

    def _notes(self) -> dict[str, str]:
        try:
            return json.loads(self._notes_path().read_text())
        except (OSError, ValueError):
            return {}


def start(notebook: str) -> Lab:
    """Begin a notebook: read the settings and say where its calls will go."""
    lab = Lab(notebook, Settings.from_environment())
    _prepare_libraries(lab.settings)
    _describe_pictures()
    where = "the local SageMaker on this machine" if lab.settings.backend == "local" else "AWS"
    pace = ", rehearsal speed" if lab.settings.fast else ""
    print(f"{notebook}: talking to {where} ({lab.settings.region}){pace}")
    with suppress(CourseError):  # whoever has no account is told so by the cell that needs it
        lab._sign("begun")
    return lab


def _describe_pictures() -> None:
    from helpers.ui.alt import install

    install()


def _prepare_libraries(settings: Settings) -> None:
    """Before the first cell imports torch: threads that wait must not spin, or a kernel and its
    containers slow each other ten-fold; and remarks on optional libraries stay out of the cells."""
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    hush_libraries()
