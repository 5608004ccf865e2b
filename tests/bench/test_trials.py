"""What is made of the jobs: shorter jobs from longer ones, and scores at matched likeness."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.bench.report import read_goals
from helpers.bench.trials import Job, Scores, Trials, best_rate, prompt_at, rows_of

steps = st.lists(st.floats(0.01, 10), min_size=1, max_size=30)
scores = st.builds(
    Scores, identity=st.floats(-1, 1, width=32), prompt=st.floats(-1, 1, width=32)
)  # fmt: skip


def job(*step_seconds: float, around: float = 5.0, encoding: float = 0.0) -> Job:
    """A job whose steps take so long; ``around`` is spent on each of the other stages."""
    clock = tuple(accumulate(step_seconds))
    other = {"wall": around, "cpu": around}
    train = {"wall": encoding + clock[-1], "cpu": encoding + clock[-1]}
    return Job(
        stages={"prepare": other, "priors": other, "train": train, "package": other},
        step_seconds=clock,
        peak_bytes=10**9,
        adapter_bytes=10**6,
    )


@given(taken=steps, around=st.floats(0, 100), encoding=st.floats(0, 10), data=st.data())
def test_the_first_steps_of_a_job_are_a_shorter_job(
    taken: list[float], around: float, encoding: float, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(taken)))
    whole = job(*taken, around=around, encoding=encoding)
    short = job(*taken[:count], around=around, encoding=encoding)
    assert whole.wall_of(count) == pytest.approx(short.wall)
    assert whole.wall_of(whole.steps) == pytest.approx(whole.wall)


def test_a_job_says_nothing_of_steps_it_did_not_take() -> None:
    with pytest.raises(ValueError, match="2 steps were taken"):
        job(1.0, 1.0).wall_of(3)


def test_the_prompt_score_is_read_where_likeness_is_first_reached() -> None:
    curve = [
        Scores(identity=0.0, prompt=0.9),
        Scores(identity=0.4, prompt=0.7),
        Scores(identity=0.2, prompt=0.1),
        Scores(identity=0.8, prompt=0.3),
    ]
    assert prompt_at(0.0, curve) == 0.9
    assert prompt_at(0.3, curve) == pytest.approx(0.75)
    assert prompt_at(0.6, curve) == pytest.approx(0.1 + 0.2 * 0.4 / 0.6)
    assert prompt_at(0.81, curve) is None
    assert prompt_at(-0.1, curve) is None


@given(curve=st.lists(scores, min_size=2, max_size=6), share=st.floats(0, 1))
def test_between_two_points_the_prompt_score_is_between_theirs(
    curve: list[Scores], share: float
) -> None:
    low = min(one.identity for one in curve)
    high = max(one.identity for one in curve)
    found = prompt_at(low + share * (high - low), curve)
    if found is not None:
        prompts = [one.prompt for one in curve]
        assert min(prompts) - 1e-6 <= found <= max(prompts) + 1e-6


def test_the_best_rate_is_that_of_the_best_likeness_not_of_the_best_prompts() -> None:
    assert best_rate(
        {
            (1.0, 0): Scores(identity=0.2, prompt=0.9),
            (10.0, 0): Scores(identity=0.6, prompt=0.5),
            (10.0, 1): Scores(identity=0.5, prompt=0.5),
            (100.0, 0): Scores(identity=0.4, prompt=0.1),
        }
    ) == 10.0  # fmt: skip


def test_the_best_rate_stays_the_best_when_it_alone_is_tried_with_more_seeds() -> None:
    first = {
        (10.0, 0): Scores(identity=0.6, prompt=0.5),
        (30.0, 0): Scores(identity=0.5, prompt=0.5),
    }
    unlucky = {(10.0, seed): Scores(identity=0.1, prompt=0.5) for seed in (1, 2)}
    assert best_rate(first) == best_rate({**first, **unlucky}) == 10.0


def trials(*, ours: float, theirs: float, reached: bool = True) -> Trials:
    """Two seeds: our steps take ``ours`` seconds and theirs ``theirs``; 4 steps against 10."""
    slow = job(*[theirs] * 10, around=0.0)
    best = Scores(identity=0.5, prompt=0.4)
    return Trials(
        original={
            (1.0, 0): (slow, Scores(identity=0.1, prompt=0.8)),
            (10.0, 0): (slow, best),
            (10.0, 1): (slow, best),
        },
        cold={seed: job(*[ours] * 4, around=1.0) for seed in (0, 1)},
        warm={seed: job(*[ours] * 4, around=0.0) for seed in (0, 1)},
        base=Scores(identity=0.0, prompt=0.8),
        curves={seed: [Scores(identity=1.0 if reached else 0.3, prompt=0.2)] for seed in (0, 1)},
    )


def values(found: Trials) -> dict[str, object]:
    return {row.name: row.value for row in rows_of(found)}


def test_ratios_compare_whole_jobs_and_jobs_of_equal_steps() -> None:
    rows = values(trials(ours=1.0, theirs=2.0))
    assert rows["time.default-budget.ratio.warm"] == pytest.approx(4 / 20)
    assert rows["time.default-budget.ratio.cold"] == pytest.approx(7 / 20)
    assert rows["time.equal-steps.ratio.warm"] == pytest.approx(4 / 8)
    assert rows["time.equal-steps.ratio.cold"] == pytest.approx(7 / 8)


def test_a_slower_rival_makes_every_ratio_smaller() -> None:
    before, after = (values(trials(ours=1.0, theirs=theirs)) for theirs in (2.0, 4.0))
    for name in ("time.default-budget.ratio.warm", "time.equal-steps.ratio.cold"):
        assert float(after[name]) < float(before[name])  # type: ignore[arg-type]


def test_matched_likeness_compares_with_the_best_rate() -> None:
    rows = values(trials(ours=1.0, theirs=2.0))
    assert rows["matched.rate"] == "x10"
    assert rows["matched.reached"] == 1.0
    assert rows["matched.prompt-difference"] == pytest.approx(0.5 - 0.4)


def test_likeness_that_is_never_reached_is_no_match() -> None:
    rows = values(trials(ours=1.0, theirs=2.0, reached=False))
    assert rows["matched.reached"] == 0.0
    assert rows["matched.prompt-difference"] is None


def test_every_goal_on_time_and_likeness_has_its_row() -> None:
    promised = {name for name in read_goals("fine-tune") if name.startswith(("time.", "matched."))}
    assert promised
    assert promised <= set(values(trials(ours=1.0, theirs=2.0)))
