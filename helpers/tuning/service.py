"""A fine-tuning job behind an endpoint: a request archive in, a published adapter out.

Two jobs share nothing that either can change: each has a folder of its own, and the kept class
images are named by all they depend on. Publishing comes last and is one upload, so a job that
fails, runs late or is killed leaves nothing behind that somebody could take for a result.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.photos.archive import read_request
from helpers.photos.prepare import prepare
from helpers.s3 import split_uri
from helpers.tuning.adapter import pack_adapter
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.progress import Teller, job_name
from helpers.tuning.shelf import BaseShelf

MARGIN_S = 60
"""Seconds that a job leaves for its last step, the upload and the answer."""
Publish = Callable[[Path, str], str]
"""Uploads an archive for an inference id and returns its address."""


def run_job(
    request: bytes,
    *,
    base: BaseModel,
    work: Path,
    publish: Publish,
    inference_id: str,
    shelf: BaseShelf | None = None,
    deadline: float | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Fine-tune ``base`` on the photos of a request archive; returns the job's result.

    ``work`` is the container's folder for jobs and its prior bank, ``shelf`` keeps the base for
    the next job, ``deadline`` is a time of ``time.monotonic`` after which nothing is published any
    more, ``log`` gets lines that ``progress.parse_progress`` reads.

    The result is ``{"status": "completed", "adapter": address, "inference_id", "base", "steps",
    "seconds", "bytes", "metrics", "photos": [{"name", "how", "notes"}], "warnings"}``.

    Raises a ``CourseError`` (``ArchiveError``, ``PhotoError``, ``ConfigError``, ``TrainingError``,
    ``AdapterError``) or whatever ``publish`` raises; then nothing is published.
    """
    began = time.monotonic()
    given = read_request(request)
    config = FineTuneConfig.from_mapping(given.config, base=base)
    prepared = prepare(
        given.photos, size=config.resolution, face=config.face_preprocessing, seed=config.seed
    )
    teller = Teller(inference_id, log)
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"job-{os.getpid()}-", dir=work))
    try:
        adapter = fine_tune(
            [photo.image for photo in prepared],
            config,
            base,
            folder / "adapter",
            prior_folder=work / "class-images",
            shelf=shelf,
            on_step=teller.step,
            on_class_image=teller.class_image,
            deadline=deadline,
        )
        archive = pack_adapter(adapter.folder, folder / "adapter.tar.gz")
        if deadline is not None and time.monotonic() > deadline:
            raise TrainingError(
                "The adapter was finished too late to be published",
                "Its time ran out",
                "Ask for fewer steps, or give the job more time",
            )
        return {
            "status": "completed",
            "adapter": publish(archive, inference_id),
            "inference_id": inference_id,
            "base": {"id": base.id, "hash": base.hash},
            "steps": adapter.manifest.metrics["steps"],
            "seconds": round(time.monotonic() - began, 2),
            "bytes": archive.stat().st_size,
            "metrics": adapter.manifest.metrics,
            "photos": [
                {"name": photo.name, "how": photo.how, "notes": list(photo.notes)}
                for photo in prepared
            ],
            "warnings": [*given.warnings, *adapter.manifest.warnings],
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_headers(headers: Mapping[str, str], *, longest_s: float) -> tuple[str, float]:
    """Inference id and seconds for a job, from the headers of its request.

    SageMaker stops listening when the invocation times out but never stops the work, and tells
    the container nothing; so a caller may say ``timeout_s=…`` in the custom attributes, and a job
    gives up a minute before. ``longest_s`` is the container's own limit, which nobody can raise.
    A request without an id gets a new one.
    """
    found = {name.lower(): value for name, value in headers.items()}
    said = re.search(
        r"\btimeout_s=(\d{1,5})\b", found.get("x-amzn-sagemaker-custom-attributes", "")
    )
    seconds = min(float(said[1]), longest_s) if said else longest_s
    return (
        found.get("x-amzn-sagemaker-inference-id") or str(uuid.uuid4()),
        max(seconds - MARGIN_S, seconds / 2),
    )


def clear_leftovers(work: Path) -> None:
    """Remove the folders of jobs whose process was killed: they hold people's photos."""
    for folder in work.glob("job-*"):
        owner = re.match(r"job-(\d+)-", folder.name)
        if owner and not _alive(int(owner[1])):
            shutil.rmtree(folder, ignore_errors=True)


def publish_to(s3: Any, staging_s3_uri: str) -> Publish:
    """Publishing by one upload, which S3 shows complete or not at all.

    The key is ``<prefix>/<job>/adapter.tar.gz``: a job that is run twice replaces its own result.
    ``s3`` is a boto3 client.
    """
    bucket, prefix = split_uri(staging_s3_uri)

    def publish(archive: Path, inference_id: str) -> str:
        parts = (prefix.strip("/"), job_name(inference_id), "adapter.tar.gz")
        key = "/".join(part for part in parts if part)
        with archive.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    return publish


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
