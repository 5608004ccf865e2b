"""The trainer's bench on a base that learns nothing: every path of it, and every row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.bases import BaseModel
from helpers.bench import job, painted
from helpers.bench.fine_tune import Plan, measure, photos, quick_plan
from helpers.bench.gpu import UNITS, gpu_numbers, gpu_rows
from helpers.bench.page import PAGE, results_section, write_page
from helpers.bench.report import make_report, read_goals
from helpers.pocket.judge import Judge
from helpers.tuning.adapter import read_adapter
from helpers.tuning.presets import AWS_2023, COURSE


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge that was never trained."""
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Judge().save(path)
    return path


@pytest.fixture
def plan(tiny: BaseModel, judge: Path, tmp_path: Path) -> Plan:
    """The quick plan on a random base, and no more of it than every path needs."""
    return replace(quick_plan(tiny, tmp_path / "work", judge), rates=(1.0,), budgets=())


@pytest.fixture
def request_of(plan: Plan, tmp_path: Path) -> Callable[[str, str], dict[str, Any]]:
    def make(preset: str, name: str) -> dict[str, Any]:
        config = plan.config(preset, 0)
        return {
            "base": str(plan.base.folder),
            "random": False,
            "config": config.to_mapping(),
            "photos": [str(path) for path in photos("instance")[: plan.photos]],
            "bank": str(tmp_path / "bank") if config.prior_bank else "",
            "adapter": str(tmp_path / name),
        }

    return make


def test_a_job_reads_its_own_clocks_and_leaves_an_adapter(
    request_of: Callable[[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    found = job.run(request_of(AWS_2023, "adapter"))
    assert tuple(found["stages"]) == job.STAGES
    assert all(clocks["wall"] > 0 for clocks in found["stages"].values())
    seconds = found["step_seconds"]
    assert len(seconds) == 4
    assert seconds == sorted(seconds)
    assert seconds[-1] <= found["stages"]["train"]["wall"]
    assert found["peak_bytes"] >= found["peak_before_bytes"] > 0
    assert found["adapter_bytes"] == read_adapter(tmp_path / "adapter").size


def test_the_course_s_second_job_paints_no_class_image(
    request_of: Callable[[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    job.run(request_of(COURSE, "cold"))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "bank").rglob("*.*")}
    job.run(request_of(COURSE, "warm"))
    assert kept
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "bank").rglob("*.*")}
    cold, warm = (read_adapter(tmp_path / name).manifest for name in ("cold", "warm"))
    assert cold.sha256 == warm.sha256


def test_scores_are_repeatable_and_an_adapter_changes_them(
    request_of: Callable[[str, str], dict[str, Any]], plan: Plan, tmp_path: Path
) -> None:
    asked = request_of(COURSE, "adapter")
    asked["config"] |= {"learning_rate": 1e-2}
    job.run(asked)
    folder = str(tmp_path / "adapter")
    scores = painted.run(
        {
            "base": str(plan.base.folder),
            "judge": str(plan.judge),
            "adapters": {"base": None, "again": None, "tuned": folder},
            "heldout": [str(path) for path in photos("heldout")[:2]],
            "prompt": "a photo of a <<TOK>> dog",
            "class_prompt": "a photo of a dog",
            "pictures": 1,
            "sampling_steps": 2,
        }
    )
    assert scores["base"] == scores["again"]
    assert scores["tuned"] != scores["base"]
    assert all(-1 <= value <= 1 for found in scores.values() for value in found.values())


def test_contexts_put_the_subject_elsewhere_and_keep_its_name() -> None:
    asked = painted.contexts("a photo of a <<TOK>> dog")
    assert len(set(asked)) == len(asked)
    assert all("<<TOK>> dog" in prompt for prompt in asked)
    assert sum(prompt.startswith("a photo of") for prompt in asked) == len(painted.ELSEWHERE)


def test_both_recipes_get_the_same_prompts(plan: Plan) -> None:
    ours, theirs = plan.config(COURSE, 3), plan.config(AWS_2023, 3)
    for name in ("concept_prompt", "class_prompt", "seed", "resolution", "base_model"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.recipe, theirs.recipe) == (COURSE, AWS_2023)


def test_photos_that_measure_are_not_learned_from() -> None:
    seen = {path.read_bytes() for path in photos("instance")}
    assert photos("heldout")
    assert not seen & {path.read_bytes() for path in photos("heldout")}


def test_without_a_gpu_the_report_says_so(tmp_path: Path) -> None:
    rows = {
        row.name: row.value for row in gpu_rows(tmp_path, [], asked=False, say=lambda text: None)
    }
    assert rows.pop("gpu") == "not asked for"
    assert rows == dict.fromkeys(UNITS)


def test_numbers_of_a_gpu_leave_its_first_steps_out_and_add_what_shares_it() -> None:
    def answer(step: float, peak: int) -> dict[str, Any]:
        # The first tenth takes ten times as long.
        clock = [step * (10 * min(n, 10) + max(0, n - 10)) for n in range(1, 101)]
        stage = {"wall": 1.0, "cpu": 1.0}
        return {"stages": {"prepare": stage, "train": {"wall": clock[-1], "cpu": 0.0}},
                "step_seconds": clock, "peak_bytes": 1, "adapter_bytes": 1,
                "gpu_peak_bytes": peak * 10**9}  # fmt: skip

    found = gpu_numbers(
        {"cold": answer(0.3, 6), "warm": answer(0.1, 6), "saving": answer(0.2, 3),
         AWS_2023: answer(0.5, 12)},
        [answer(0.25, 6), answer(0.5, 6)],
    )  # fmt: skip
    assert set(found) == set(UNITS)
    assert found["gpu.steps-per-second.course"] == pytest.approx(10)
    assert found["gpu.steps-per-second.aws-2023"] == pytest.approx(2)
    assert found["gpu.steps-per-second.two-jobs"] == pytest.approx(4 + 2)
    assert found["gpu.time.job.warm"] == pytest.approx(1 + 0.1 * 190)
    assert found["gpu.memory.course.checkpointing"] == 3


@pytest.mark.slow
def test_the_whole_bench_answers_every_goal_and_fills_the_page(plan: Plan, tmp_path: Path) -> None:
    said: list[str] = []
    rows = measure(plan, say=said.append)
    report = make_report("fine-tune", rows, machine={"cores": 2}, seconds=1.0, quick=True)
    goals = read_goals("fine-tune")
    assert {row["name"] for row in report.results if row["goal"]} == set(goals)
    values = {row["name"]: row["value"] for row in report.results}
    assert values["time.default-budget.ratio.cold"] > 0
    assert values["memory.peak.course.warm"] > 100
    assert 0 < values["adapter.pocket.course"] < values["adapter.pocket.aws-2023"]
    assert not plan.work.exists()
    assert any("course-seed-0-warm" in line for line in said)

    section = results_section(report)
    for row in report.results:
        assert f"| `{row['name']}` |" in section
    page = tmp_path / "performance.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for _ in range(2):  # the second time what the first wrote is replaced
        write_page(report, page)
    assert page.read_text(encoding="utf-8").count(section) == 1
    prose = re.sub(r"<!-- (\S+) -->.*?<!-- /\1 -->", "", PAGE.read_text("utf-8"), flags=re.DOTALL)
    claimed = re.findall(r"`((?:time|flops|memory|matched|adapter|gpu)\.[\w.-]+)`", prose)
    assert claimed and set(claimed) <= set(values)
