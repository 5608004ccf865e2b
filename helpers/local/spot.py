"""Interruptions of managed Spot training, which here come when they are asked for.

On AWS nobody can ask: an instance is taken away when its capacity is wanted elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from helpers.cloud.session import Cloud
from helpers.errors import ServiceError

_FOLDER = "spot-interruptions"


def interrupt(cloud: Cloud, job: str) -> None:
    """Take the instance away from a Spot training job of the local SageMaker, once.

    The job gets a short notice, waits for another instance and goes on from what it left in its
    checkpoint folder. Raises ``ServiceError`` on AWS.
    """
    if not cloud.local:
        raise ServiceError(
            "an instance cannot be taken away on request", "AWS decides when", "try it locally"
        )
    folder = cloud.settings.state / _FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / cloud.name(job)).touch()


def take_interruption(state: Path, job: str) -> bool:
    """Whether the job is to be interrupted now; asked for once, it is told once."""
    try:
        (state / _FOLDER / job).unlink()
        return True
    except OSError:
        return False
