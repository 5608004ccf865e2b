"""Who agreed that photos of them are used, for what, and until when.

One small file below the state folder, readable by its owner alone, with nothing in it but what was
typed. It is a record, not a proof: whoever writes it vouches for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from helpers.errors import PhotoError
from helpers.jsonl import append_line, read_lines
from helpers.settings import Settings

CONSENTS = "consents.jsonl"
MOST_DAYS = 365
PLACES = {
    "outputs/photos/*": "outputs/photos: the prepared copies, until you delete them",
    "s3/*/requests/*": "the course's bucket, below your name: a packed copy, until clean-up",
    "state/service.objects/*": "the state folder, where that bucket is while you work locally",
    "state/demo-*": "the state folder: the working files of a demo, while it runs",
    "tmp/local-sagemaker-*": "the disk of the container that trains, while it does",
}
"""Every place where the course lays photos of a subject, as patterns, and in words for whoever
agrees to it. Adapters and avatars, which show the subject too, lie beside them until clean-up."""


@dataclass(frozen=True, kw_only=True)
class Consent:
    """``given_by`` agreed on ``recorded`` that photos of ``subject`` serve ``purpose`` up to and
    including ``until``; then photos and adapter are to be deleted. Dates as ``2026-11-21``."""

    subject: str
    given_by: str
    purpose: str
    recorded: str
    until: str

    def __str__(self) -> str:
        return (
            f"{self.given_by} agreed on {self.recorded} to photos of {self.subject} "
            f"for {self.purpose}, until {self.until}"
        )


def record_consent(
    settings: Settings, *, subject: str, given_by: str, purpose: str, days: int = 30
) -> Consent:
    """Write a consent down; a later one for the same subject takes its place.

    Raises ``PhotoError`` when one of the words is missing, or ``days`` is not 1 to 365.
    """
    words = {"subject": subject, "given_by": given_by, "purpose": purpose}
    if missing := [name for name, text in words.items() if not text.strip()]:
        raise PhotoError(
            f"the consent does not say its {missing[0]}", "", "name whose photos, who agreed, why"
        )
    if not 1 <= days <= MOST_DAYS:
        raise PhotoError(f"a consent for {days} days is not recorded", f"1 to {MOST_DAYS} are")
    today = datetime.now(UTC).date()
    given = {name: text.strip() for name, text in words.items()}
    until = today + timedelta(days=days)
    consent = Consent(**given, recorded=today.isoformat(), until=until.isoformat())
    append_line(settings.state / CONSENTS, {"event": "given", **asdict(consent)})
    return consent


def withdraw_consent(settings: Settings, subject: str) -> None:
    """The consent for ``subject`` holds no more; deleting the photos is another step."""
    append_line(settings.state / CONSENTS, {"event": "withdrawn", "subject": subject.strip()})


def consents(settings: Settings) -> list[Consent]:
    """Every consent that holds today, by subject."""
    today = datetime.now(UTC).date()
    return [found for found in _latest(settings) if date.fromisoformat(found.until) >= today]


def require_consent(settings: Settings, subject: str) -> Consent:
    """The consent for ``subject``. Raises ``PhotoError`` where none holds today."""
    for consent in consents(settings):
        if consent.subject == subject.strip():
            return consent
    raise PhotoError(
        f"no consent to photos of {subject} is recorded, or it has run out",
        "a face is personal data, and so is an adapter that was trained on it",
        "record it in notebook 00: lab.consent(subject=…, given_by=…, purpose=…)",
    )


def _latest(settings: Settings) -> Iterator[Consent]:
    found: dict[str, Consent] = {}
    for line in read_lines(settings.state / CONSENTS):
        subject = line.get("subject", "")
        found.pop(subject, None)
        if line.get("event") == "given":
            about = {name: value for name, value in line.items() if name != "event"}
            found[subject] = Consent(**about)
    yield from found.values()
