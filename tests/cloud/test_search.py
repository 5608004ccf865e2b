"""A search over rates: every job is read, the lowest score is found, trouble is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.cloud.sdk import train_on_jumpstart
from helpers.cloud.search import Search, search_rates
from helpers.cloud.session import Cloud
from helpers.cloud.training_jobs import TrainingJob
from helpers.errors import JobError, ServiceError
from tests.cloud.accounts import start_job

MEASURES = """
import json, os
told = json.loads(os.environ["SM_HPS"])
rate = float(told["learning_rate"])
for step in (10, 20):
    loss = abs(rate - 0.2) + 1 / step
    print(f"job training: step {step}/20 loss 0.5 held-out {loss:.5f} seconds 1.0", flush=True)
if rate > 1:
    raise SystemExit(1)
"""


def test_the_best_rate_and_step_are_found_by_jobs_side_by_side(
    cloud: Cloud, tmp_path: Path
) -> None:
    def start(rate: float) -> TrainingJob:
        told = {"learning_rate": str(rate)}
        return start_job(cloud, cloud.ledger(), tmp_path, MEASURES, hyperparameters=told)

    found = search_rates(cloud, [0.1, 0.2, 0.4], start)
    assert found.best == (0.2, 20)
    assert found.scores[0.1] == {10: pytest.approx(0.2), 20: pytest.approx(0.15)}
    assert "0.0500 *" in str(found) and "rate 0.2, 20 steps" in str(found)
    with pytest.raises(JobError, match="rate 2 is Failed"):
        search_rates(cloud, [2.0], start)


def test_a_job_that_measured_nothing_is_no_trial(cloud: Cloud, tmp_path: Path) -> None:
    def start(rate: float) -> TrainingJob:
        return start_job(cloud, cloud.ledger(), tmp_path, "print('nothing')")

    with pytest.raises(JobError, match="heldout_images"):
        search_rates(cloud, [0.1], start)
    assert Search(scores={0.1: {5: 2.0}, 0.3: {5: 1.0}}, jobs={}).best == (0.3, 5)


def test_jumpstart_s_own_hub_is_not_here(cloud: Cloud) -> None:
    with pytest.raises(ServiceError, match=r"AWS's buckets.*AVATAR_BACKEND=aws"):
        train_on_jumpstart(
            cloud, "model-txt2img-stabilityai-stable-diffusion-v2-1-base", cloud.uri("datasets"),
            hyperparameters={}, instance_type="ml.g4dn.2xlarge",
        )  # fmt: skip
