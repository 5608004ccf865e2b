"""One training job and its states, from Starting to its end, as DescribeTrainingJob tells them."""

from __future__ import annotations

import re
import shutil
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from helpers.local.container_log import ContainerLog
from helpers.local.context import Context, split_s3
from helpers.local.spot import take_interruption
from helpers.local.store import now
from helpers.local.training_host import (
    ML,
    DownloadError,
    Folders,
    TrainingProcess,
    failure_reason,
    fetch,
    is_newer,
    lay_out,
    upload_results,
)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
GRACE_S = 120
"""Seconds between SIGTERM and SIGKILL, for a job that is stopped or out of time."""
NOTICE_S = 2
"""Of an interruption. AWS gives a Spot instance two minutes at most, and promises none."""
CHECKPOINTS = f"{ML}/checkpoints"
_LOOK_S = 0.05
_SYNC_S = 0.3
MOST_BEGINNINGS = 3
_GIVEN_UP = "InternalServerError: the service ended {} times while the job ran. Try it again."
_PLAIN = (
    "name", "arn", "request", "status", "failure", "artifacts", "metrics", "transitions",
    "trained_s", "begun",
)  # fmt: skip
_MOMENTS = ("created", "modified", "started", "ended")
_WORDS = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted: its instance was taken away",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds provided",
}


@dataclass(kw_only=True)
class TrainingJob:
    """A job as DescribeTrainingJob shows it. It runs in a thread of its own, which ``begin`` starts
    and which ends it in ``Completed``, ``Failed`` or ``Stopped``.

    If the service ends before, the next one begins it again, from its checkpoints if it has any, up
    to ``MOST_BEGINNINGS`` times; ``begun`` counts them."""

    context: Context
    name: str
    arn: str
    request: dict[str, Any]
    status: str = "InProgress"
    failure: str | None = None
    artifacts: str | None = None
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    transitions: list[dict[str, Any]] = field(default_factory=list)
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    started: datetime | None = None
    ended: datetime | None = None
    trained_s: float = 0.0
    begun: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _process: TrainingProcess | None = None

    @property
    def busy(self) -> bool:
        return self.status in ("InProgress", "Stopping")

    @classmethod
    def of_plain(cls, context: Context, data: dict[str, Any]) -> TrainingJob:
        """What the journal kept."""
        moments = {
            name: datetime.fromisoformat(data[name]) if data[name] else None for name in _MOMENTS
        }
        return cls(context=context, **{**data, **moments})

    def revive(self) -> None:
        if not self.busy:
            return
        if self.status == "Stopping":
            self._end("Stopped", "Stopped", None)
        elif self.begun >= MOST_BEGINNINGS:
            self._end("Failed", "Failed", _GIVEN_UP.format(self.begun))
        else:
            self._tell("Interrupted")
            self.begin()

    def begin(self) -> None:
        self.begun += 1
        self._tell("Starting")
        threading.Thread(target=self._live, name=f"training {self.name}", daemon=True).start()

    def ask_to_stop(self) -> bool:
        """Let it end; ``False`` if it does not run any more."""
        with self._lock:
            if self.status != "InProgress":
                return False
            self.status = "Stopping"
            self._tell("Stopping")
        self._stop.set()
        return True

    def kill(self) -> None:
        """The service is ending."""
        self._stop.set()
        if process := self._process:
            process.kill()

    def describe(self) -> dict[str, Any]:
        asked = {name: value for name, value in self.request.items() if name != "Tags"}
        with self._lock:
            return {
                **asked,
                "TrainingJobArn": self.arn,
                "ModelArtifacts": (
                    {"S3ModelArtifacts": self.artifacts} if self.artifacts else None
                ),
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.transitions[-1]["Status"],
                "FailureReason": self.failure,
                "CreationTime": self.created,
                "TrainingStartTime": self.started,
                "TrainingEndTime": self.ended,
                "LastModifiedTime": self.modified,
                "SecondaryStatusTransitions": [dict(one) for one in self.transitions],
                "FinalMetricDataList": list(self.metrics.values()) or None,
                "EnableNetworkIsolation": asked.get("EnableNetworkIsolation", False),
                "EnableInterContainerTrafficEncryption": False,
                "EnableManagedSpotTraining": asked.get("EnableManagedSpotTraining", False),
                # No Spot market here: what ran is what would be billed at most.
                "TrainingTimeInSeconds": round(self.trained_s) if self.ended else None,
                "BillableTimeInSeconds": round(self.trained_s) if self.ended else None,
                "ProfilingStatus": "Disabled",
            }

    def _live(self) -> None:
        log = ContainerLog(
            path=self.context.logs / "training" / f"{self.name}.log",
            group=LOG_GROUP,
            stream=f"{self.name}/algo-1-{int(time.time())}",
            logs_client=self.context.client("logs"),
        )
        work = self.context.work / f"training-{self.name}"
        try:
            end = self._runs(work, log)
        except DownloadError as trouble:
            end = ("Failed", "Failed", str(trouble))
        except Exception as trouble:
            print(f"training job {self.name}: {trouble!r}", flush=True)
            end = ("Failed", "Failed", f"InternalServerError: {trouble!r}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if end[2]:
            log.write(f"[sagemaker] {end[2]}")
        log.close()  # its last line is in CloudWatch before anybody hears that the job ended
        self._count_metrics(log.path)
        self._end(*end)

    def _runs(self, work: Path, log: ContainerLog) -> tuple[str, str, str | None]:
        """Run to the end, once more after each interruption; returns status, its detail, reason."""
        limits = self.request["StoppingCondition"]
        waiting_ends = time.monotonic() + limits.get("MaxWaitTimeInSeconds", float("inf"))
        number = 0
        while True:
            number += 1
            self._stop.wait(self.context.settle)
            if self._stop.is_set():
                return "Stopped", "Stopped", None
            if time.monotonic() > waiting_ends:
                return "Stopped", "MaxWaitTimeExceeded", None
            folders = Folders(root=work / str(number) / "ml")
            self._tell("Downloading")
            lay_out(self.context, self.request, folders)
            checkpoints = self._checkpoints(folders)
            checkpoints.fetch()
            self._tell("Training")
            began = time.monotonic()
            self.started = self.started or now()
            process = TrainingProcess(self.context, self.name, self.arn, self.request, folders, log)
            self._process = process
            ends = min(began + limits["MaxRuntimeInSeconds"] - self.trained_s, waiting_ends)
            code, why = self._attend(process, ends, checkpoints)
            self.trained_s += time.monotonic() - began
            checkpoints.send()
            if why == "interrupted":
                self._tell("Interrupted")
                log.write("[sagemaker] the Spot instance was taken away; waiting for another")
                self._tell("Starting")
                continue
            if why == "ended" and code:
                return "Failed", "Failed", failure_reason(folders, code)
            self._tell("Uploading")
            self.artifacts = upload_results(self.context, self.name, self.request, folders)
            if why == "ended":
                return "Completed", "Completed", None
            late = time.monotonic() > waiting_ends
            detail = "MaxWaitTimeExceeded" if late else "MaxRuntimeExceeded"
            return "Stopped", "Stopped" if why == "stopped" else detail, None

    def _attend(
        self, process: TrainingProcess, ends: float, checkpoints: _Checkpoints
    ) -> tuple[int, str]:
        """Wait until the process has ended, by itself or not; returns its exit status and why."""
        spot = bool(self.request.get("EnableManagedSpotTraining"))
        sent = time.monotonic()
        while (code := process.poll()) is None:
            if self._stop.wait(_LOOK_S):
                return process.end(GRACE_S), "stopped"
            if time.monotonic() > ends:
                return process.end(GRACE_S), "late"
            if spot and take_interruption(self.context.state, self.name):
                return process.end(NOTICE_S), "interrupted"
            if time.monotonic() - sent > _SYNC_S:
                checkpoints.send()
                sent = time.monotonic()
        return code, "stopped" if self._stop.is_set() else "ended"

    def _checkpoints(self, folders: Folders) -> _Checkpoints:
        config = self.request.get("CheckpointConfig") or {}
        return _Checkpoints(
            context=self.context,
            uri=config.get("S3Uri", ""),
            folder=folders.inside(config.get("LocalPath", CHECKPOINTS)),
        )

    def _count_metrics(self, path: Path) -> None:
        """The last value that each of the job's regular expressions finds in its log."""
        wanted = self.request["AlgorithmSpecification"].get("MetricDefinitions", [])
        text = path.read_text(errors="replace").splitlines() if wanted else []
        for one in wanted:
            found = [match[1] for line in text if (match := _search(one["Regex"], line))]
            for value in reversed(found):
                try:
                    known = {"MetricName": one["Name"], "Value": float(value), "Timestamp": now()}
                except ValueError:
                    continue
                self.metrics[one["Name"]] = {**known, "Timestamp": known["Timestamp"].timestamp()}
                break

    def _tell(self, detail: str) -> None:
        moment = now()
        with self._lock:
            if self.transitions:
                self.transitions[-1].setdefault("EndTime", moment.timestamp())
            self.transitions.append(
                {
                    "Status": detail,
                    "StartTime": moment.timestamp(),
                    "StatusMessage": _WORDS[detail],
                }
            )
            self.modified = moment
            self._keep()

    def _end(self, status: str, detail: str, reason: str | None) -> None:
        with self._lock:
            self._tell(detail)
            self.transitions[-1]["EndTime"] = self.modified.timestamp()
            if reason:
                self.transitions[-1]["StatusMessage"] = reason
            self.status, self.failure, self.ended = status, reason, self.modified
            self._keep()

    def _keep(self) -> None:
        moments = {
            name: moment.isoformat() if (moment := getattr(self, name)) else None
            for name in _MOMENTS
        }
        plain = {name: getattr(self, name) for name in _PLAIN}
        self.context.journal.save("training job", self.name, {**plain, **moments})


@dataclass(kw_only=True)
class _Checkpoints:
    """The folder that SageMaker keeps in S3 while the job runs, and brings back to its next run."""

    context: Context
    uri: str
    folder: Path
    known: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def fetch(self) -> None:
        if self.uri:
            fetch(self.context, f"{self.uri.rstrip('/')}/", self.folder)
            for file in self.folder.rglob("*"):
                is_newer(file, self.known)

    def send(self) -> None:
        if not self.uri or not self.folder.is_dir():
            return
        bucket, prefix = split_s3(self.uri.rstrip("/"))
        for file in sorted(self.folder.rglob("*")):
            if file.name.startswith(".") or not file.is_file() or not is_newer(file, self.known):
                continue
            key = f"{prefix}/{file.relative_to(self.folder).as_posix()}"
            self.context.client("s3").upload_file(str(file), bucket, key)


def _search(pattern: str, line: str) -> re.Match[str] | None:
    found = re.search(pattern, line)
    return found if found and found.groups() else None
