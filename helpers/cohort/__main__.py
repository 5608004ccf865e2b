"""For instructors: what ``course.py cohort`` runs.

Exit code 0: ready, shown, or nothing is left; 1: not so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.session import Cloud, find_cloud
from helpers.cohort.board import board
from helpers.cohort.end import end_day, rehearse, remove_stacks
from helpers.cohort.handout import handout
from helpers.cohort.members import members, others, without_stack
from helpers.cohort.seats import Cohort
from helpers.errors import CourseError, SettingsError
from helpers.settings import Settings
from helpers.startup import hush_libraries

EVERY_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py cohort", allow_abbrev=False)
    parser.add_argument("what", choices=("seats", "check", "board", "end"))
    parser.add_argument("name")
    parser.add_argument("--seats", type=int, default=0)
    parser.add_argument("--budget", type=float)
    for name in ("--watch", "--dry-run", "--keep-photos", "--yes"):
        parser.add_argument(name, action="store_true")
    given = parser.parse_args(arguments)
    try:
        cohort, settings = Cohort(given.name), Settings.from_environment()
        cohort.learners(given.seats)
        if given.what in ("seats", "check") and given.seats < 1:
            raise SettingsError("how many learners?", next="say --seats and a number")
        if given.what == "seats":
            print(handout(cohort, given.seats, settings))
            return 0
        cloud = find_cloud(settings)
        if given.what == "check":
            return _check(cloud, cohort, given.seats, given.budget)
        if given.what == "board":
            return _board(cloud, cohort, given.seats, watch=given.watch)
        return _end(cloud, cohort, given)
    except (CourseError, ClientError, BotoCoreError) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


def _check(cloud: Cloud, cohort: Cohort, seats: int, budget: float | None) -> int:
    # These load slowly, and nothing else here needs them.
    hush_libraries()
    from helpers.bench.scale import given as facts_here
    from helpers.cohort.check import preflight

    notes = []
    if cloud.local:
        notes.append("This is the local SageMaker: its quotas are those of a made-up account.")
    if there := members(cloud, cohort):
        notes.append(f"Not a fresh start: something is there of {', '.join(there)}.")
    missing = without_stack(cloud, cohort, seats)
    if missing:
        notes.append(f"No bucket of a stack, so no seat yet: {', '.join(missing)}.")
    found = preflight(
        cloud, cohort, seats, facts_here(cloud.settings), budget=budget, notes=tuple(notes)
    )
    print(found)
    return 0 if found.ready else 1


def _board(cloud: Cloud, cohort: Cohort, seats: int, *, watch: bool) -> int:
    while True:
        shown = board(cloud, cohort, seats=seats)
        print("\033[2J\033[H" if watch and sys.stdout.isatty() else "", end="")
        print(shown, flush=True)
        if not watch:
            return 0
        time.sleep(EVERY_S)


def _end(cloud: Cloud, cohort: Cohort, given: argparse.Namespace) -> int:
    personal = not given.keep_photos
    planned = rehearse(cloud, cohort, personal_data=personal, seats=given.seats)
    print(planned)
    for owner, count in others(cloud, cohort).items():
        print(f"not touched: {count} resources of {owner}")
    if given.dry_run:
        return 0 if planned.empty else 1
    if planned.resources and not given.yes and not _wanted(cohort):
        return 1
    done = end_day(cloud, planned, personal_data=personal, tell=partial(print, flush=True))
    print(done)
    if not cloud.local and done.reports:
        print(remove_stacks(cohort, list(done.reports), cloud))
    return 0 if done.empty else 1


def _wanted(cohort: Cohort) -> bool:
    if not sys.stdin.isatty():
        print("nobody can be asked, so nothing was removed; --yes removes it")
        return False
    answer = input(f"To remove all this for good, type the cohort's name ({cohort.name}): ")
    return answer.strip() == cohort.name


if __name__ == "__main__":
    sys.exit(main())
