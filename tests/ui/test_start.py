"""What notebook 00 shows first: the machine, and the whole course in minutes and dollars."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.cloud.needs import COURSE
from helpers.cloud.session import Cloud
from helpers.settings import ROOT, Settings
from helpers.ui.machine_report import describe_gpu, machine_report
from helpers.ui.plan import course_plan, minutes_here


def test_the_report_names_versions_memory_disk_and_whether_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(outputs=tmp_path / "not" / "yet" / "there", threads=3)
    found = dict(machine_report(settings).rows)
    assert re.fullmatch(r"3\.1[12]\.\d+ in .*", found["Python"])
    assert re.fullmatch(r"[\d.]+ GB", found["memory"]) and float(found["memory"].split()[0]) > 0.5
    assert re.fullmatch(r"\d+ GB", found["free disk"])
    assert "3" in found["processors"] and found["torch"].startswith("2.")
    assert found["GPU"] == describe_gpu()
    monkeypatch.setenv("SAGEMAKER_APP_TYPE", "JupyterLab")
    assert dict(machine_report(settings).rows)["notebook server"] == "SageMaker Studio"


def test_a_gpu_is_described_by_torchs_word(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    class A10G:
        name, total_memory = "NVIDIA A10G", 24 * 1024**3

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: A10G)
    assert describe_gpu().startswith("NVIDIA A10G, 24 GiB, CUDA")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert describe_gpu().startswith("none")


def test_the_plan_holds_every_notebook_every_need_and_the_sum(cloud: Cloud) -> None:
    plan = course_plan(cloud)
    text = str(plan)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert path.stem in text
        assert minutes_here(path) > 0, f"{path.name} does not say how long it takes here"
    for need in COURSE:
        assert sum(need.what in row[2] for row in plan.rows) == 1
    dollars = sum(float(row[4][1:]) for row in plan.rows if row[4])
    total = re.search(r"minutes here, \$([\d.]+) on AWS", text)
    assert total and float(total[1]) == pytest.approx(dollars, abs=0.005 * len(COURSE))
    assert "not measured" in text and "not verified" in text
