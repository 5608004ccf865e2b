"""What a set of photos still lacks, each point with its reason and what to do about it.

Sharpness, size, light, twins and faces are measured. Which way a head is turned and what it
expresses no cascade tells, so whoever takes the photos says it (``Shot``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from helpers.errors import PhotoError, fit_to_print
from helpers.photos.photo import Photo
from helpers.photos.prepare import IN_FACES, PreparedPhoto
from helpers.photos.quality import BLURRED, BRIGHT, DARK, ENLARGED
from helpers.tables import Table, Tabular

ANGLES = ("front", "left", "right", "between")
EXPRESSIONS = ("neutral", "smile", "frown")
FEWEST, PLENTY = 10, 12
SMALL_FACE, LARGE_FACE = 0.15, 0.75  # face width by the photo's shorter side
ODD_FACE = 2.5  # times as large or small as the set's median: is that box a face?


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Which of the wanted photos one is: ``angle`` of ``ANGLES`` (as the viewer sees the head:
    ``left`` looks to the picture's left, ``between`` is half-way), ``expression`` of
    ``EXPRESSIONS``; ``None`` while nobody has said. Raises ``PhotoError`` for another word."""

    angle: str | None = None
    expression: str | None = None

    def __post_init__(self) -> None:
        for what, word, known in (
            ("angle", self.angle, ANGLES), ("expression", self.expression, EXPRESSIONS)
        ):  # fmt: skip
            if word is not None and word not in known:
                raise PhotoError(
                    f"{fit_to_print(word)} is no {what}", "", f"choose of {', '.join(known)}"
                )

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.angle, self.expression))) or "not said"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One point: whether it ``holds``, what was ``found``, ``why`` it matters, how to ``fix`` it,
    and the ``photos`` it is about."""

    name: str
    holds: bool
    found: str
    why: str
    fix: str
    photos: tuple[str, ...] = ()


class Checklist(Tabular):
    """The checks of a set. Prints as a table; ``done`` when every one holds."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self.checks = tuple(checks)

    @property
    def done(self) -> bool:
        return all(check.holds for check in self.checks)

    @property
    def open(self) -> tuple[Check, ...]:
        """Those that do not hold."""
        return tuple(check for check in self.checks if not check.holds)

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    @property
    def table(self) -> Table:
        rows = [
            (
                "✓\u00a0good" if check.holds else "○\u00a0to\u00a0do",
                check.name,
                check.found,
                "" if check.holds else f"{check.fix} ({check.why})",
            )
            for check in self.checks
        ]
        held = len(self.checks) - len(self.open)
        notes = [f"{held} of {len(self.checks)} hold; none is a must."]
        return Table(head=("", "check", "found", "what to do"), rows=rows, notes=notes)


def checklist(
    photos: Sequence[Photo],
    prepared: Sequence[PreparedPhoto],
    shots: Mapping[str, Shot] | None = None,
    *,
    person: bool = True,
) -> Checklist:
    """Check a set: ``prepared`` are the same photos in the same order, ``shots`` what each shows.

    Without ``person`` nothing is asked of faces and expressions.
    """
    said = [(shots or {}).get(photo.name, Shot()) for photo in photos]
    checks = [_count(len(photos)), _variety("angles", ANGLES, [shot.angle for shot in said])]
    if person:
        checks.append(_variety("expressions", EXPRESSIONS, [shot.expression for shot in said]))
        checks += _faces(photos, prepared)
    return Checklist([*checks, *_quality(prepared)])


def _count(count: int) -> Check:
    missing = FEWEST - count
    return Check(
        name="count", holds=missing <= 0, found=f"{count} of {FEWEST} to {PLENTY}",
        why="from few photos a model learns the photos, not the subject",
        fix=f"add {missing}, on other days, in other clothes, before other walls",
    )  # fmt: skip


def _variety(name: str, wanted: Sequence[str], said: Sequence[str | None]) -> Check:
    missing = [word for word in wanted if word not in said]
    unsaid = sum(word is None for word in said)
    counts = [f"{word} {said.count(word)}" for word in wanted if word in said]
    whys = {
        "angles": "a model that saw one side cannot turn the head",
        "expressions": "a model that saw one face will paint that one",
    }
    fixes = [f"say of {unsaid} which they are"] if unsaid else []
    if len(missing) > unsaid or not unsaid:
        fixes.append(f"add {', '.join(missing)}")
    found = [*counts, f"not said {unsaid}"] if unsaid else counts
    return Check(
        name=name, holds=not missing, found=", ".join(found) or "none",
        why=whys[name], fix="; ".join(fixes),
    )  # fmt: skip


def _faces(photos: Sequence[Photo], prepared: Sequence[PreparedPhoto]) -> Iterable[Check]:
    guessed = [item.name for item in prepared if item.how not in ("face", "given")]
    shares = {
        item.name: item.box.width / min(photo.image.size)
        for photo, item in zip(photos, prepared, strict=True)
        if item.box is not None and item.how in IN_FACES
    }
    usual = median(shares.values()) if shares else 0.0
    odd = [
        name for name, share in shares.items()
        if len(shares) > 2 and not usual / ODD_FACE <= share <= usual * ODD_FACE
    ]  # fmt: skip
    yield _about(
        "heads", sorted({*guessed, *odd}), "every head framed",
        "a finder made for frontal faces misses profiles, and sometimes sees a face in a pattern",
        "look at the box, and frame the head by hand if it is wrong",
    )  # fmt: skip
    small = [name for name, share in shares.items() if share < SMALL_FACE and name not in odd]
    large = [name for name, share in shares.items() if share > LARGE_FACE and name not in odd]
    yield _about(
        "face share", small + large, f"faces from {SMALL_FACE:.0%} to {LARGE_FACE:.0%} of the side",
        "a small face has no detail, a huge one no hair and chin",
        " and ".join(["step closer"] * bool(small) + ["step back"] * bool(large)),
    )  # fmt: skip


def _quality(prepared: Sequence[PreparedPhoto]) -> Iterable[Check]:
    def names(bad) -> list[str]:
        return [item.name for item in prepared if bad(item.quality)]

    yield _about(
        "size", names(lambda one: one.enlargement > ENLARGED), "large enough",
        "detail that is not there is made up", "step closer, or send the photo in full size",
    )  # fmt: skip
    yield _about(
        "blur", names(lambda one: one.sharpness < BLURRED), "sharp",
        "a model learns blur as skin", "hold the camera still, wipe the lens, focus on the eyes",
    )  # fmt: skip
    yield _about(
        "light", names(lambda one: not DARK <= one.brightness <= BRIGHT), "neither dark nor bright",
        "what cannot be seen cannot be learned", "face a window, with no light behind you",
    )  # fmt: skip
    yield _about(
        "near-duplicates", names(lambda one: one.twin is not None), "all differ",
        "the same picture twice counts double and teaches nothing",
        "leave one of the two out, or move between shots",
    )  # fmt: skip


def _about(name: str, photos: Sequence[str], good: str, why: str, fix: str) -> Check:
    shown = ", ".join(fit_to_print(one, 24) for one in photos[:3])
    more = f" and {len(photos) - 3} more" if len(photos) > 3 else ""
    return Check(
        name=name, holds=not photos, found=f"{shown}{more}" if photos else good,
        why=why, fix=fix, photos=tuple(photos),
    )  # fmt: skip
