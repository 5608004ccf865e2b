"""A sweep in a notebook: done once, measured, shown, and kept for the next time."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.bases import BaseModel
from helpers.experiments.sweep import Prompt, Subject, Sweep, Variant
from helpers.settings import Settings
from helpers.ui.lab import Lab
from helpers.ui.sweeps import work_through
from tests.experiments.colours import ColourJudge
from tests.experiments.conftest import SHORT, write_subject


def test_a_sweep_is_run_measured_shown_and_not_run_again(
    tiny: BaseModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Lab("04_how_many_steps", Settings(fast=True, outputs=tmp_path / "outputs"))
    subject = Subject.read(write_subject(tmp_path / "doppler"))
    prompts = (Prompt(name="subject", text="a red {subject}"),)
    sweep = Sweep(base=tiny, subjects=(subject,), steps=(1,), seeds=(0,), pictures=2,
                  sampling_steps=1, prompts=prompts,
                  variants=(Variant(name="LoRA", changes=SHORT),))  # fmt: skip
    found = work_through(lab, sweep, name="here", judge=ColourJudge())
    assert (tmp_path / "outputs" / "experiments" / "here" / "summary.csv").is_file()
    shown = found.curves()
    assert shown.format == "PNG" and shown.info["alt"].startswith("Metrics by step")
    arms = {"base": {"step": 0, "prompt": "subject"}, "taught": {"step": 1, "prompt": "subject"}}
    assert found.arms(arms, count=2).width > found.arms(arms, count=1).width
    assert found.grid().height > 0
    cells = {path: path.stat().st_mtime_ns for path in found.folder.glob("*/cell.json")}
    again = work_through(lab, sweep, name="here", judge=ColourJudge())
    assert cells == {path: path.stat().st_mtime_ns for path in found.folder.glob("*/cell.json")}
    assert again.measured.summary.rows == found.measured.summary.rows
