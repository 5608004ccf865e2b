"""A training container: ``/opt/ml`` as SageMaker fills it, and one process that runs to its end.

There is no container, so ``/opt/ml`` is a folder of the job, and the ``SM_*`` variables say where.
``/opt/ml/…`` in the entry point and in the environment is replaced by that folder; code that spells
the path out itself does not run here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.archives import pack
from helpers.errors import ArchiveError
from helpers.local.container_log import ContainerLog
from helpers.local.context import Context, split_s3
from helpers.local.guard import kill_group
from helpers.local.worker_process import container_environment

ML = "/opt/ml"
HOST = "algo-1"
LONGEST_REASON = 1024
_ISOLATED = Path(__file__).resolve().parent / "isolated"
_PYTHONS = ("python", "python3", "/usr/bin/python3", "/usr/local/bin/python3")


class DownloadError(Exception):
    """A channel cannot be brought to the container; the words are those of a ``FailureReason``."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """``/opt/ml`` of one run of a job."""

    root: Path

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def config(self) -> Path:
        return self.root / "input" / "config"

    def channel(self, name: str) -> Path:
        return self.root / "input" / "data" / name

    def inside(self, path: str) -> Path:
        """A path of the container, such as ``/opt/ml/checkpoints``, on this machine."""
        return self.root / path.removeprefix(ML).strip("/")

    def translated(self, text: str) -> str:
        return re.sub(rf"{ML}(?=/|$)", str(self.root), text)


def lay_out(context: Context, request: Mapping[str, Any], folders: Folders) -> None:
    """Make the folders, write the configuration and bring the channels. Raises ``DownloadError``.

    On AWS too, files of earlier runs of the job are not there any more, checkpoints excepted.
    """
    for folder in (folders.model, folders.output / "data", folders.config):
        folder.mkdir(parents=True, exist_ok=True)
    channels = {one["ChannelName"]: one for one in request.get("InputDataConfig", [])}
    written = {
        "hyperparameters.json": request.get("HyperParameters", {}),
        "resourceconfig.json": {
            "current_host": HOST,
            "hosts": [HOST],
            "current_instance_type": request["ResourceConfig"]["InstanceType"],
            "network_interface_name": "lo",
        },
        "inputdataconfig.json": {
            name: {
                "TrainingInputMode": one.get("InputMode", "File"),
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for name, one in channels.items()
        },
    }
    for name, content in written.items():
        (folders.config / name).write_text(json.dumps(content))
    for name, one in channels.items():
        fetch(context, one["DataSource"]["S3DataSource"]["S3Uri"], folders.channel(name))


def fetch(context: Context, uri: str, into: Path) -> list[str]:
    """Everything whose key begins with that of ``uri``, below ``into``; returns the file names.

    A prefix without a slash at its end also matches its neighbours (``dogs`` and ``dogs_old/``):
    what follows it becomes the path. Raises ``DownloadError``.
    """
    into.mkdir(parents=True, exist_ok=True)
    bucket, prefix = split_s3(uri)
    s3 = context.client("s3")
    names = []
    for key in keys_below(context, uri):
        name = key.removeprefix(prefix).lstrip("/") or key.rpartition("/")[2]
        target = (into / name).resolve()
        if key.endswith("/"):
            continue  # how consoles draw a folder
        if not target.is_relative_to(into.resolve()):
            raise DownloadError(f"ClientError: Data download failed: the key {key} leads out of it")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, key, str(target))
        except (OSError, s3.exceptions.ClientError) as trouble:
            raise DownloadError(f"ClientError: Data download failed:{key}: {trouble}") from trouble
        names.append(name)
    return names


def keys_below(context: Context, uri: str) -> list[str]:
    """Every key that begins with that of ``uri``; none where the bucket is not there."""
    bucket, prefix = split_s3(uri)
    s3 = context.client("s3")
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]
    except s3.exceptions.ClientError:
        return []


class TrainingProcess:
    """The container's process, in a group of its own."""

    def __init__(
        self,
        context: Context,
        name: str,
        arn: str,
        request: Mapping[str, Any],
        folders: Folders,
        log: ContainerLog,
    ) -> None:
        algorithm = request["AlgorithmSpecification"]
        words = [*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", [])]
        command = [folders.translated(word) for word in words]
        if command[0] in _PYTHONS:
            command[0] = sys.executable
        home = folders.root.parent / "home"
        home.mkdir(exist_ok=True)
        isolated = bool(request.get("EnableNetworkIsolation"))
        self._guard, self._killing = context.guard, threading.Lock()
        self._process = subprocess.Popen(
            command,
            cwd=folders.root,
            env=container_environment(
                paths=[_ISOLATED] if isolated else [],
                home=home,
                service={} if isolated else context.container_environment(),
                model=_variables(name, arn, request, folders, context.threads),
                threads=context.threads,
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._guard.watch(self._process.pid)
        assert self._process.stdout
        self._output = log.follow(self._process.stdout)

    def poll(self) -> int | None:
        """Its exit status, or ``None`` while it runs."""
        code = self._process.poll()
        if code is not None:
            self._settle()
        return code

    def end(self, grace_s: float) -> int:
        """SIGTERM and, after ``grace_s``, SIGKILL; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        ends = time.monotonic() + grace_s
        while self._process.poll() is None and time.monotonic() < ends:
            time.sleep(0.05)
        return self.kill()

    def kill(self) -> int:
        """End it and everything it started."""
        with self._killing:
            if self._process.poll() is None:
                kill_group(self._process.pid)
            code = self._process.wait()
        self._settle()
        return code

    def _settle(self) -> None:
        self._guard.forget(self._process.pid)
        self._output.join(2)


def failure_reason(folders: Folders, code: int) -> str:
    """What DescribeTrainingJob says of a process that failed: the file that it may leave."""
    try:
        said = (folders.output / "failure").read_text(errors="replace")
    except OSError:
        said = ""
    return f"AlgorithmError: {said}, exit code: {code}"[:LONGEST_REASON]


def upload_results(
    context: Context, name: str, request: Mapping[str, Any], folders: Folders
) -> str | None:
    """Put what the job left into S3; returns where the model is, ``None`` if there is none."""
    out = request["OutputDataConfig"]
    packed = out.get("CompressionType", "GZIP") == "GZIP"
    found = None
    for stem, folder in (("model", folders.model), ("output", folders.output / "data")):
        target = f"{out['S3OutputPath'].rstrip('/')}/{name}/output/{stem}"
        files = [file for file in folder.rglob("*") if file.is_file()]
        if not files:
            continue
        bucket, key = split_s3(target)
        s3 = context.client("s3")
        if packed:
            try:
                archive = pack(folder, folders.root.parent / f"{stem}.tar.gz")
            except ArchiveError as trouble:
                raise DownloadError(f"ClientError: Artifact upload failed: {trouble}") from trouble
            s3.upload_file(str(archive), bucket, f"{key}.tar.gz")
            target += ".tar.gz"
        else:
            for file in files:
                inside = file.relative_to(folder).as_posix()
                s3.upload_file(str(file), bucket, f"{key}/{inside}")
            target += "/"
        found = target if stem == "model" else found
    return found


def _variables(
    name: str, arn: str, request: Mapping[str, Any], folders: Folders, threads: int
) -> dict[str, str]:
    """What the container is told: SageMaker's own variables, and ``SM_*`` of its training toolkit.

    On AWS an image without the toolkit has only the first two; ``/opt/ml`` holds the same facts.
    """
    told = request.get("HyperParameters", {})
    channels = [one["ChannelName"] for one in request.get("InputDataConfig", [])]
    known = {
        "TRAINING_JOB_NAME": name,
        "TRAINING_JOB_ARN": arn,
        "SM_JOB_NAME": name,
        "SM_MODEL_DIR": str(folders.model),
        "SM_INPUT_DIR": str(folders.root / "input"),
        "SM_INPUT_CONFIG_DIR": str(folders.config),
        "SM_OUTPUT_DIR": str(folders.output),
        "SM_OUTPUT_DATA_DIR": str(folders.output / "data"),
        "SM_CHANNELS": json.dumps(channels),
        "SM_HPS": json.dumps(told),
        "SM_HOSTS": json.dumps([HOST]),
        "SM_CURRENT_HOST": HOST,
        "SM_CURRENT_INSTANCE_TYPE": request["ResourceConfig"]["InstanceType"],
        "SM_NUM_CPUS": str(threads),
        "SM_NUM_GPUS": "0",
    }
    known |= {f"SM_CHANNEL_{_upper(one)}": str(folders.channel(one)) for one in channels}
    known |= {f"SM_HP_{_upper(key)}": value for key, value in told.items()}
    asked = request.get("Environment", {})
    return known | {key: folders.translated(value) for key, value in asked.items()}


def _upper(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def is_newer(file: Path, known: dict[Path, tuple[int, int]]) -> bool:
    """Whether a file changed since the last look, which ``known`` remembers by size and time."""
    try:
        found = os.stat(file)
    except OSError:
        return False
    mark = (found.st_size, found.st_mtime_ns)
    if known.get(file) == mark:
        return False
    known[file] = mark
    return True
