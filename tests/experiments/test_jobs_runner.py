"""A sweep as training jobs gives what it gives in this process, through the same interface."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.bases import BaseModel
from helpers.bases.store import upload_base
from helpers.cloud.session import Cloud
from helpers.errors import ExperimentError
from helpers.experiments.cell_files import CELL, read_cell, write_cell
from helpers.experiments.jobs_runner import JobsRunner
from helpers.experiments.run import run_sweep
from helpers.experiments.runner import LocalRunner
from helpers.experiments.store import Store
from helpers.experiments.sweep import Sweep
from helpers.tuning.package import stage_training_code


def test_a_cell_survives_the_way_through_a_folder(
    make_sweep: Callable[..., Sweep], tiny: BaseModel, tmp_path: Path
) -> None:
    for place, trial in enumerate(make_sweep().trials):
        folder = tmp_path / str(place)
        folder.mkdir()
        write_cell(trial.cell, folder)
        assert read_cell(folder, tiny).hash == trial.cell.hash
        told = json.loads((folder / CELL).read_text())
        (folder / CELL).write_text(json.dumps({**told, "pictures": 99}))
        with pytest.raises(ExperimentError, match="not the one that was asked for"):
            read_cell(folder, tiny)


@pytest.mark.slow
def test_jobs_make_the_pictures_that_this_process_makes(
    cloud: Cloud, make_sweep: Callable[..., Sweep], tiny: BaseModel, tmp_path: Path
) -> None:
    sweep, ledger = make_sweep(seeds=(0,)), cloud.ledger()
    here, there = Store(folder=tmp_path / "here"), Store(folder=tmp_path / "there")
    runner = JobsRunner(
        store=there, cloud=cloud, ledger=ledger, base=upload_base(cloud, ledger, tiny.folder).uri,
        code=stage_training_code(cloud, ledger),
    )  # fmt: skip
    plain = run_sweep(sweep, here, runner=LocalRunner(store=here, workers=0))
    found = run_sweep(sweep, there, runner=runner)
    assert found.keys() == plain.keys() and len(found) == 2
    for key, result in found.items():
        for lesson, step in [(one.lesson, one.step) for one in result.snapshots]:
            for prompt in result.prompts:
                assert [path.read_bytes() for path in result.paths(lesson, step, prompt)] == [
                    path.read_bytes() for path in plain[key].paths(lesson, step, prompt)
                ]
    assert not list(there.folder.glob(".fetched-*"))
