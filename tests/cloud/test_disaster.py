"""The scripted disaster: whatever call a kernel is killed in, clean-up finds what it began.

Real processes die by a real SIGKILL, on the ``aws`` backend, whose AWS is a local SageMaker. They
die either just before their request is sent or after the service has done it and before the answer
is heard; for half of them the ledger is lost too. What is left is then looked up through boto3.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from helpers.cloud.permissions import LEARNER, OWNER, PERMISSIONS
from helpers.cloud.session import LocalSession
from helpers.local.launch import start, stop
from helpers.settings import ROOT, Settings
from tests.cloud.accounts import LISTINGS, what_is_left
from tests.cloud.doomed import MOMENTS
from tests.cloud.machines import Machine

pytestmark = pytest.mark.slow
LEARNERS = ("ada", "grace")
"""Ada keeps her ledger, Grace loses hers."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A create call of the course: the scene it happens in, and the listing that shows it.

    ``shown``: whether it shows up (before, after) the service did it; ``by`` what name, if not by
    the stem of its scene.
    """

    operation: str
    scene: str
    listing: str
    shown: tuple[bool, bool] = (False, True)
    by: str = ""


CALLS = (
    Call(operation="CreateBucket", scene="open", listing="buckets", by="sagemaker"),
    Call(operation="CreateTopic", scene="topics", listing="topics"),
    Call(operation="CreateQueue", scene="topics", listing="queues"),
    Call(operation="Subscribe", scene="topics", listing="subscriptions"),
    Call(operation="CreateMultipartUpload", scene="upload", listing="uploads"),
    Call(operation="UploadPart", scene="upload", listing="uploads", shown=(True, True)),
    Call(operation="CompleteMultipartUpload", scene="upload", listing="objects"),
    Call(operation="PutObject", scene="deploy", listing="objects"),
    Call(operation="CreateModel", scene="deploy", listing="models"),
    Call(operation="CreateEndpointConfig", scene="deploy", listing="configurations"),
    Call(operation="CreateEndpoint", scene="deploy", listing="endpoints"),
    Call(operation="InvokeEndpointAsync", scene="photos", listing="objects", by="{stem}/output"),
    Call(operation="UpdateEndpoint", scene="renew", listing="endpoints", shown=(True, True)),
    Call(operation="RegisterScalableTarget", scene="scale", listing="scaling targets"),
    Call(operation="PutScalingPolicy", scene="scale", listing="scaling policies"),
    Call(operation="PutMetricAlarm", scene="scale", listing="alarms"),
    Call(operation="UpdateEndpointWeightsAndCapacities", scene="scale", listing="endpoints",
         shown=(True, True)),
    Call(operation="CreateTrainingJob", scene="train", listing="training jobs"),
    Call(operation="CreateRepository", scene="image", listing="repositories", by="{learner}-tri"),
    Call(operation="CreateProject", scene="image", listing="projects", by="{learner}--serving"),
    Call(operation="StartBuild", scene="image", listing="log groups", by="{learner}--serving"),
)  # fmt: skip
NOTHING_REMAINS = {
    "InvokeEndpoint", "PutLifecyclePolicy", "RequestServiceQuotaIncrease", "UploadPartCopy",
}  # fmt: skip
"""They begin like calls that create, but belong to something that another call has created."""
BEGINNINGS = ("Create", "Put", "Register", "Subscribe", "Start", "Upload", "Complete", "Invoke",
              "Request", "Run", "Update")  # fmt: skip


class Nursery:
    """Where programs of the course are born, to be killed in the middle of a call."""

    def __init__(self, work: Path) -> None:
        work.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cloud.doomed", str(work)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def die(self, machine: Machine, scene: str, stem: str, operation: str, moment: str) -> int:
        """Play a scene until it is killed there; returns the signal that ended it, 0 for none."""
        assert self._process.stdin and self._process.stdout
        line = {
            "scene": scene, "stem": stem, "operation": operation, "moment": moment,
            "environment": machine.environment(AVATAR_STATE=str(machine.state)),
        }  # fmt: skip
        print(json.dumps(line), file=self._process.stdin, flush=True)
        if pid := json.loads(self._process.stdout.readline())["pid"]:
            os.kill(pid, signal.SIGKILL)
        return json.loads(self._process.stdout.readline())["signal"]

    def close(self) -> None:
        self._process.communicate(timeout=10)


@dataclass
class Disaster:
    """An account, the machines of the learners who work in it, and how they died."""

    client: Callable[[str], Any]
    machines: dict[str, Machine]
    nursery: Nursery
    deaths: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)

    def everybody_dies(self) -> None:
        """In every call, at both moments; of the two deaths in one call, one loses the ledger."""
        for number, call in enumerate(CALLS):
            for late, moment in enumerate(MOMENTS):
                machine = self.machines[LEARNERS[(number + late) % 2]]
                stem = f"{call.operation.lower()}-{moment}"
                died = self.nursery.die(machine, call.scene, stem, call.operation, moment)
                name = call.by.format(learner=machine.learner, stem=stem) or stem
                shown = self._shows(call, name, within_s=10 if call.shown[late] else 0)
                self.deaths[call.operation, moment] = died, shown

    def _shows(self, call: Call, name: str, *, within_s: float) -> bool:
        ends = time.monotonic() + within_s
        while True:
            found = any(name in str(item) for item in LISTINGS[call.listing](self.client))
            if found or time.monotonic() > ends:
                return found
            time.sleep(0.1)


@pytest.fixture(scope="module")
def disaster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disaster]:
    folder = tmp_path_factory.mktemp("disaster")
    settings = Settings(fast=True, threads=1, state=folder / "aws")
    service = start(settings)
    made = Disaster(
        client=cache(LocalSession(service).client),
        machines={name: Machine.fresh(folder / name, name, service) for name in LEARNERS},
        nursery=Nursery(folder / "work"),
    )
    made.everybody_dies()
    yield made
    made.nursery.close()
    stop(settings)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.operation)
def test_it_was_killed_there_and_the_service_did_what_it_had_heard(
    disaster: Disaster, call: Call, moment: str
) -> None:
    died, shown = disaster.deaths[call.operation, moment]
    assert died == signal.SIGKILL
    assert shown is call.shown[MOMENTS.index(moment)]


@pytest.mark.promise(
    "Clean-up finds all that a dead notebook began",
    fault="kill -9 before and after each create call; for half of them the ledger is lost",
    outcome="an empty account",
)
def test_clean_finds_and_removes_everything_of_each(disaster: Disaster) -> None:
    assert len(what_is_left(disaster.client)) >= 12
    ada, grace = disaster.machines.values()
    (ledger,) = grace.state.glob("ledger-*")
    ledger.unlink()
    for machine in (grace, ada):
        done = machine.clean("--delete-photos")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing is left" in done.stdout
    left = what_is_left(disaster.client)
    assert set(left) <= {"buckets", "tags"}, "the bucket is hers who made it"
    if left:
        grace.clean("--delete-photos")
    assert what_is_left(disaster.client) == {}


@pytest.mark.promise(
    "Clean-up can be killed",
    fault="kill -9 in five of its calls",
    outcome="the next one leaves an empty account",
)
def test_a_clean_up_that_is_killed_half_way_is_finished_by_the_next(disaster: Disaster) -> None:
    machine, nursery = disaster.machines["ada"], disaster.nursery
    assert nursery.die(machine, "photos", "tune", "InvokeEndpointAsync", "after")
    assert nursery.die(machine, "topics", "tune", "Subscribe", "after")
    for operation, moment in (
        ("DeleteEndpoint", "after"), ("DeleteObjects", "before"), ("DeleteModel", "after"),
        ("DeleteTopic", "before"), ("DeleteBucket", "before"),
    ):  # fmt: skip
        assert nursery.die(machine, "clean", "", operation, moment) == signal.SIGKILL
    done = machine.clean("--delete-photos")
    assert done.returncode == 0, done.stdout + done.stderr
    assert what_is_left(disaster.client) == {}


IN_A_CELL = """
from tests.cloud.doomed import stop_at, deploy, open_cloud
from pathlib import Path
import tempfile
stop_at("CreateEndpoint", "after", lambda: print("reached", flush=True))
deploy(open_cloud(), "cell", Path(tempfile.mkdtemp(dir=Path.cwd())))
"""


@pytest.mark.promise(
    "A killed kernel costs nothing for long",
    fault="kill -9 of a Jupyter kernel in a cell, state folder gone",
    outcome="clean-up leaves an empty account",
)
def test_a_jupyter_kernel_that_is_killed_in_a_cell_leaves_nothing(disaster: Disaster) -> None:
    machine = disaster.machines["ada"]
    kernel = KernelManager(kernel_name="python3")
    more = {"AVATAR_STATE": str(machine.state), "PYTHONPATH": str(ROOT)}
    kernel.start_kernel(env=machine.environment(**more), cwd=str(machine.root))
    client = kernel.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        client.execute(IN_A_CELL)
        while (said := client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
            assert said["msg_type"] != "error", said["content"]
        os.kill(kernel.provisioner.pid, signal.SIGKILL)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    (endpoint,) = what_is_left(disaster.client)["endpoints"]
    assert endpoint["EndpointName"] == "avatar-ada--cell"
    shutil.rmtree(machine.state)
    done = machine.clean("--delete-photos")
    assert done.returncode == 0, done.stdout + done.stderr
    assert what_is_left(disaster.client) == {}


def test_no_create_call_of_the_course_is_missing_here() -> None:
    """The table of permissions is held complete by a test of its own."""
    called = {
        row.operation
        for row in PERMISSIONS
        if row.caller in (LEARNER, OWNER) and row.operation.startswith(BEGINNINGS)
    }
    assert called == {call.operation for call in CALLS} | NOTHING_REMAINS
