"""The end of the day: everything of a cohort is removed, by the clean-up of each learner.

First a rehearsal that says what would go. Then all learners at once, a few at a time: nearly all of
it is waiting for endpoints. Other cohorts, and learners without a seat, are not touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from helpers.cloud.cleanup import CleanUpReport, clean_up
from helpers.cloud.prices import money
from helpers.cloud.session import Cloud
from helpers.cohort.members import as_learner, members
from helpers.cohort.seats import Cohort
from helpers.tables import Table, Tabular

AT_ONCE = 8
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, repr=False)
class EndOfDay(Tabular):
    """The clean-up of each learner; in a dry run what it would have been."""

    cohort: Cohort
    reports: Mapping[str, CleanUpReport]
    dry_run: bool

    @property
    def empty(self) -> bool:
        """Whether nothing of anybody is there any more but what is kept on purpose."""
        return all(report.empty for report in self.reports.values())

    @property
    def resources(self) -> int:
        return sum(len(report.removed) for report in self.reports.values())

    @property
    def per_hour(self) -> float:
        """Dollars an hour that this ends, as far as prices are known."""
        return sum(report.price_per_hour for report in self.reports.values())

    @property
    def table(self) -> Table:
        verb = "would go" if self.dry_run else "removed"
        notes = [
            f"{verb}: {self.resources} resources of {len(self.reports)} learners of "
            f"{self.cohort.name}, {money(self.per_hour)} an hour."
        ]
        for learner, report in self.reports.items():
            notes += [f"FAILED {learner}: {one.kind} {one.name}: {why}"
                      for one, why in report.failed]  # fmt: skip
            notes += [f"STILL THERE {learner}: {one.kind} {one.name}" for one in report.left]
        if self.empty and not self.dry_run:
            notes.append("Looked again, by name, by tag and by ledger: nothing is left of them.")
        return Table(
            head=("learner", verb, "kept", "an hour"),
            rows=[
                (
                    learner,
                    _counted(report) or "nothing",
                    str(len(report.kept) or "-"),
                    money(report.price_per_hour),
                )
                for learner, report in self.reports.items()
            ],
            notes=notes,
        )


def rehearse(
    cloud: Cloud, cohort: Cohort, *, personal_data: bool = True, seats: int = 0
) -> EndOfDay:
    """What ``end_day`` would remove. Raises ``ClientError`` when we may not look."""
    reports = {
        learner: clean_up(one, one.ledger(), personal_data=personal_data, dry_run=True)
        for learner in members(cloud, cohort, seats=seats)
        for one in [as_learner(cloud, learner)]
    }
    return EndOfDay(cohort=cohort, reports=reports, dry_run=True)


def end_day(
    cloud: Cloud, rehearsed: EndOfDay, *, personal_data: bool = True, tell: Tell | None = None
) -> EndOfDay:
    """Remove everything of the learners of a rehearsal, which also has made the clients that the
    threads share. ``tell`` hears of each learner's waits."""
    clouds = {learner: as_learner(cloud, learner) for learner in rehearsed.reports}

    def clean(learner: str) -> CleanUpReport:
        one = clouds[learner]
        return clean_up(
            one,
            one.ledger(),
            personal_data=personal_data,
            tell=lambda text: tell(f"{learner}: {text}") if tell else None,
        )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        reports = dict(zip(clouds, pool.map(clean, clouds), strict=True))
    for learner, report in reports.items():
        if any(item.kind == "bucket" for item, _ in report.kept) and personal_data:
            reports[learner] = _together(report, clean(learner))  # the others have left it by now
        _forget_notes(clouds[learner])
    return EndOfDay(cohort=rehearsed.cohort, reports=reports, dry_run=False)


def _together(first: CleanUpReport, second: CleanUpReport) -> CleanUpReport:
    return CleanUpReport(
        removed=[*first.removed, *second.removed],
        failed=second.failed,
        left=second.left,
        kept=second.kept,
        price_per_hour=first.price_per_hour,
    )


def _forget_notes(cloud: Cloud) -> None:
    """What notebooks on this machine wrote down for the next one leads nowhere now."""
    settings = cloud.settings
    name = f"notes-{settings.backend}-{settings.learner}.json"
    (settings.state / name).unlink(missing_ok=True)


def _counted(report: CleanUpReport) -> str:
    counts = Counter(item.kind for item in report.removed)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def remove_stacks(cohort: Cohort, learners: Sequence[str], cloud: Cloud) -> str:
    """The shell lines that remove what the template made, which clean-up leaves alone."""
    lines = [f"# what the stacks of {cohort.name} made; run it when nobody needs a seat any more"]
    lines += [
        f"aws s3 rm --recursive s3://avatar-{one}-{cloud.account}-{cloud.region}; "
        f"aws cloudformation delete-stack --stack-name avatar-{one}"
        for one in learners
    ]
    return "\n".join(lines)
