"""A training job from the caller's side: started, followed, stopped, its model taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.cloud.session import Cloud
from helpers.cloud.training_jobs import (
    TrainingJob,
    fetch_model,
    follow,
    history,
    look,
    read_job_log,
    stop_training,
    wait,
)
from helpers.errors import JobError, QuotaError, ServiceError
from tests.cloud.accounts import start_job

FINISH = """
import json, os, pathlib
print("loss 0.25 held-out 1.5e-02 seconds 1", flush=True)
told = json.load(open(os.environ["SM_INPUT_CONFIG_DIR"] + "/hyperparameters.json"))
pathlib.Path(os.environ["SM_MODEL_DIR"], "told.json").write_text(json.dumps(told))
"""
FAIL = """
import os, pathlib
pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("no photo shows a dog")
raise SystemExit(1)
"""


def test_a_job_is_followed_to_its_end_and_its_model_is_taken(cloud: Cloud, tmp_path: Path) -> None:
    from helpers.tuning.train_job import metric_definitions

    ledger, said = cloud.ledger(), []
    job = start_job(
        cloud, ledger, tmp_path, FINISH, hyperparameters={"max_steps": "400"},
        metrics=metric_definitions(),
    )  # fmt: skip
    assert (("training-job", job.name)) in [(one.kind, one.name) for one in ledger.open()]
    assert TrainingJob.from_json(job.to_json()) == job
    for status in follow(cloud, job):
        said += [str(line) for line in status.lines]
    assert status.state == "Completed" and said.count("loss 0.25 held-out 1.5e-02 seconds 1") == 1
    assert status.metrics == {"train:loss": 0.25, "heldout:loss": 0.015}
    assert [str(line) for line in read_job_log(cloud, job)] == said
    assert [name for name, _ in history(cloud, job)][-1] == "Completed"
    assert all(seconds >= 0 for _, seconds in history(cloud, job))
    folder = fetch_model(cloud, status, tmp_path / "model")
    assert json.loads((folder / "told.json").read_text()) == {"max_steps": "400"}
    stop_training(cloud, job)  # it has ended: nothing happens


def test_a_failure_carries_the_job_s_own_words(cloud: Cloud, tmp_path: Path) -> None:
    job = start_job(cloud, cloud.ledger(), tmp_path, FAIL)
    with pytest.raises(JobError, match="no photo shows a dog"):
        wait(cloud, job)
    with pytest.raises(JobError, match="left no model"):
        fetch_model(cloud, look(cloud, job), tmp_path / "model")


def test_what_cannot_run_is_refused_before_it_costs_anything(cloud: Cloud, tmp_path: Path) -> None:
    ledger = cloud.ledger()
    before = [(one.kind, one.name) for one in ledger.open() if one.kind == "training-job"]
    with pytest.raises(QuotaError, match="training job usage"):
        start_job(cloud, ledger, tmp_path, FINISH, instance_type="ml.g6e.12xlarge")
    with pytest.raises(ServiceError, match="cannot run the image"):
        start_job(cloud, ledger, tmp_path, FINISH, instance_type="ml.p3.2xlarge")
    with pytest.raises(JobError, match="is not there"):
        look(cloud, TrainingJob(name=cloud.name("never"), started=0))
    after = [(one.kind, one.name) for one in ledger.open() if one.kind == "training-job"]
    assert after == before
