"""Twenty kills at random while the course runs: the short form of ``course.py bench chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.bases import BaseModel
from helpers.bench.chaos import Toll, rows_of, wreak
from helpers.bench.report import make_report, read_goals

KILLS = 20


@pytest.mark.promise(
    "The course survives whoever dies",
    fault="20 kills at random of notebook, service, worker and trainer while jobs run (the bench: "
    "200)",
    outcome="no job lost, none told twice, no archive half published; after the clean-up no "
    "process, port or file is left",
)
@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_leave_nothing(tmp_path: Path, tiny: BaseModel) -> None:
    toll = wreak(tmp_path / "chaos", tiny, kills=KILLS, seed=1, say=print)
    print(toll)
    assert toll.kills.total() >= KILLS
    assert min(toll.kills["notebook"], toll.kills["service"]) >= 1
    assert toll.lost == [] and toll.twice == [] and toll.half == []
    assert toll.left == []
    assert toll.completed >= 1 and toll.published >= 1, "the course got on in spite of it"


def test_whatever_is_lost_misses_a_goal() -> None:
    goals = read_goals("chaos")
    for spoiled in ("lost", "twice", "half", "left"):
        toll = Toll(accepted=3, completed=3, published=1)
        toll.kills["service"] = 200
        setattr(toll, spoiled, ["one"])
        report = make_report("chaos", rows_of(toll), machine={}, seconds=1, goals=goals)
        assert [row["holds"] for row in report.results].count(False) == 1
