"""Training jobs the JumpStart way: one base and code for all, a data set and texts for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud
from helpers.cloud.training_jobs import TrainingJob, start_training

INSTANCE = "ml.g5.2xlarge"


@dataclass(frozen=True, kw_only=True)
class JumpStartJobs:
    """Starts jobs. ``base`` and ``code`` are S3 prefixes, one channel of every job each; with
    ``isolated`` no job reaches a network."""

    cloud: Cloud
    ledger: Ledger
    base: str
    code: str
    isolated: bool = True

    @classmethod
    def prepare(
        cls, cloud: Cloud, ledger: Ledger, base_folder: Path, *, isolated: bool = True
    ) -> JumpStartJobs:
        """Put base and code into the bucket; what is there already is not sent again.

        An isolated job cannot install anything, so on AWS the wheels of its packages are fetched
        here and go with the code. Raises ``BaseModelError``, and ``SetupError`` where pip fails.
        """
        from helpers.bases.store import upload_base
        from helpers.tuning.package import DOOR, stage_training_code
        from helpers.wheels import vendor_wheels

        wheels = None
        if isolated and not cloud.local:
            wheels = cloud.settings.state / "wheels" / "training"
            vendor_wheels(DOOR / "requirements.txt", wheels)
        return cls(
            cloud=cloud,
            ledger=ledger,
            base=upload_base(cloud, ledger, base_folder).uri,
            code=stage_training_code(cloud, ledger, wheels=wheels),
            isolated=isolated,
        )

    def start(
        self,
        name: str,
        dataset: str,
        hyperparameters: Mapping[str, str],
        *,
        instance_type: str = INSTANCE,
        **how: Any,
    ) -> TrainingJob:
        """Start a job on the data set at ``dataset`` (an S3 prefix, with the slash at its end).

        What ``hyperparameters`` leave out has JumpStart's default. ``how`` and the errors are those
        of ``start_training``.
        """
        from helpers.tuning.jumpstart import default_hyperparameters
        from helpers.tuning.train_job import channels, metric_definitions

        return start_training(
            self.cloud,
            self.ledger,
            name=name,
            channels=channels(dataset, self.base, self.code),
            hyperparameters={**default_hyperparameters(), **hyperparameters},
            instance_type=instance_type,
            isolated=self.isolated,
            metrics=metric_definitions(),
            **how,
        )
