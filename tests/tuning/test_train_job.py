"""The door of a training job, in the local SageMaker: as the container runs it, kills included."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.bases import BaseModel, base_hash
from helpers.bases.store import upload_base
from helpers.cloud.session import Cloud
from helpers.cloud.training_jobs import (
    TrainingJob,
    fetch_model,
    follow,
    history,
    read_job_log,
    start_training,
    upload_folder,
    wait,
)
from helpers.local.spot import interrupt
from helpers.tuning.jumpstart import write_dataset
from helpers.tuning.package import stage_training_code
from helpers.tuning.progress import read_progress
from helpers.tuning.train_job import channels, metric_definitions

pytestmark = pytest.mark.slow
TOLD = {"max_steps": "24", "learning_rate": "1e-3", "heldout_images": "1", "heldout_every": "12"}


@dataclass(frozen=True)
class Bench:
    """Where the channels of a job lie."""

    cloud: Cloud
    channels: dict[str, str]

    def start(self, **told: Any) -> TrainingJob:
        how = {"hyperparameters": TOLD, "metrics": metric_definitions(), "max_runtime_s": 120}
        return start_training(
            self.cloud, self.cloud.ledger(), name="tune", channels=self.channels,
            instance_type="ml.g5.2xlarge", **{**how, **told},
        )  # fmt: skip


@pytest.fixture(scope="module")
def bench(
    cloud: Cloud,
    tiny: BaseModel,
    photos: list[Image.Image],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bench:
    folder, ledger = tmp_path_factory.mktemp("job"), cloud.ledger()
    files = [folder / f"{place}.jpg" for place in range(6)]
    for place, file in enumerate(files):
        photos[place % 3].rotate(15 * place).save(file)
    prompts = {"instance_prompt": "a photo of a <<TOK>> dog", "class_prompt": "a photo of a dog"}
    data = upload_folder(
        cloud, ledger, write_dataset(folder / "dogs", files, **prompts), "datasets", "dogs"
    )
    base = upload_base(cloud, ledger, tiny.folder).uri
    return Bench(cloud, channels(data, base, stage_training_code(cloud, ledger)))


@pytest.mark.promise(
    "An interrupted training ends in the same model",
    fault="a Spot interruption after eight steps",
    outcome="the same weights, bit for bit",
)
def test_an_interrupted_job_ends_in_the_model_of_one_that_was_not(
    bench: Bench, tmp_path: Path
) -> None:
    cloud = bench.cloud
    plain = bench.start(isolated=True)
    status = wait(cloud, plain)
    assert status.metrics["heldout:loss"] > 0, "the score that a search would use"
    assert any("start-up check passed" in str(line) for line in read_job_log(cloud, plain))
    whole = fetch_model(cloud, status, tmp_path / "whole")
    assert json.loads((whole / "tuned.json").read_text())["metrics"]["steps"] == 24

    cut = bench.start(spot=True, checkpoint_steps=8)
    told = False
    for status in follow(cloud, cut, every_s=0.1):
        steps = [one for one in read_progress(map(str, status.lines)) if one.done >= 8]
        if steps and not told:
            interrupt(cloud, cut.name)
            told = True
    assert "Interrupted" in [detail for detail, _ in history(cloud, cut)]
    assert status.state == "Completed", status
    again = fetch_model(cloud, status, tmp_path / "again")
    assert base_hash(again) == base_hash(whole)
