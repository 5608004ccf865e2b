"""The bench of the whole course under fire: kills at random, and what they cost.

A scripted course (``chaos_course``) fine-tunes and publishes without end, while notebook, local
SageMaker, the container's worker and the trainer in it are killed by ``kill -9``, one after the
other, at random moments. The trainer only waits, because what is tried is everything around it.
``hosting`` does the same to Triton, the shared base and the avatars' stubs.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from helpers.archives import pack, read_members
from helpers.bases import BaseModel, shipped_base
from helpers.bench.chaos_course import ADAPTERS, Course, settings_of
from helpers.bench.report import Row
from helpers.cloud.cleanup import clean_up
from helpers.cloud.topics import create_topics
from helpers.errors import CourseError
from helpers.jsonl import read_lines
from helpers.local.launch import find, stop
from helpers.local.statefile import OBJECTS, WORK
from helpers.settings import ROOT, Settings

KILLS, QUICK_KILLS = 200, 4
ENDS_S = 300.0
VICTIMS = {"notebook": 1, "service": 1, "worker": 2, "trainer": 2}
"""Who is killed, and how often beside the others."""
PATIENCE_S = 60.0
UNSEEN = 0.25
"""Share of the kills that do not wait until the course has got anywhere since the last one."""
_SERVICE = "helpers.local.service"
_MARKS = {"worker": "djl_python.engine", "trainer": "chaos-trainer"}


@dataclass(kw_only=True)
class Toll:
    """What came of it. ``lost``: accepted jobs without object or message; ``twice``: jobs with
    more than one of either; ``half``: published archives that are not whole; ``left``: what was
    still there after the clean-up."""

    kills: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    completed: int = 0
    failed: int = 0
    published: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def run(settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every row of the bench. Raises ``CourseError``."""
    work = settings.outputs / "bench" / "chaos_work"
    shutil.rmtree(work, ignore_errors=True)
    base = shipped_base(settings.base_model, settings=settings)
    toll = wreak(work, base, kills=QUICK_KILLS if quick else KILLS, seed=8, say=say)
    shutil.rmtree(work)
    return rows_of(toll)


def rows_of(toll: Toll) -> list[Row]:
    def counted(name: str, value: int) -> Row:
        return Row(name=name, value=value)

    return [
        counted("kills", toll.kills.total()),
        *(counted(f"kills.{victim}", toll.kills[victim]) for victim in VICTIMS),
        counted("jobs", toll.accepted),
        counted("jobs.completed", toll.completed),
        counted("jobs.failed", toll.failed),
        counted("jobs.lost", len(toll.lost)),
        counted("jobs.twice", len(toll.twice)),
        counted("avatars", toll.published),
        counted("avatars.half", len(toll.half)),
        counted("left", len(toll.left)),
    ]


def wreak(
    folder: Path, base: BaseModel, *, kills: int, seed: int, say: Callable[[str], None]
) -> Toll:
    """Kill so many times, let the course end, count, clean up, and look what is left.

    ``folder`` is made and holds everything, also the temporary files.
    """
    prepare(folder, base)
    toll, chance = Toll(), random.Random(seed)
    notebook = _Notebook(folder)
    settings = settings_of(folder)
    works: set[Path] = set()
    try:
        while toll.kills.total() < kills:
            if chance.random() > UNSEEN:
                notebook.get_somewhere()
            time.sleep(chance.uniform(0.05, 1.0))
            notebook.keep_running()
            if (file := settings.state / WORK).exists():
                works.add(Path(file.read_text()))
            if victim := _kill(notebook, settings, chance):
                toll.kills[victim] += 1
                if toll.kills.total() % 20 == 0:
                    say(f"{toll.kills.total()} kills")
        (folder / "enough").touch()
        notebook.run_to_the_end()
        _count(folder, toll)
        url = urlsplit(service.url) if (service := find(settings)) else None
        toll.left += _clean(folder)
        stop(settings)
        toll.left += _left(folder, works, url.port if url else None)
    finally:
        notebook.kill()
        stop(settings)
    return toll


def prepare(folder: Path, base: BaseModel) -> None:
    """The container's archive with a few adapters in it, and the base that they fit."""
    from helpers.bench.hosting_avatars import attention, write_random_adapter
    from helpers.hosting.generate import load_pipeline

    folder.mkdir(parents=True)
    shutil.copytree(base.folder, folder / "base")
    layers = dict(list(attention(load_pipeline(base.folder).unet).items())[:2])
    members: dict[str, Path | bytes] = {
        "model.py": Path(__file__).with_name("chaos_models") / "model.py",
        "serving.properties": b"engine=Python\nminWorkers=1\nmaxWorkers=1\n",
    }
    for number in range(ADAPTERS):
        adapter = write_random_adapter(folder / "adapters" / f"{number}", base, layers, number)
        files: dict[str, Path | bytes] = {one.name: one for one in adapter.iterdir()}
        packed = pack(files, folder / "adapters" / f"{number}.tar.gz")
        members[f"adapter-{number}.tar.gz"] = packed
    pack(members, folder / "model.tar.gz")


class _Notebook:
    """The process that runs the course, and runs it again when it has ended too early."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process else None

    def keep_running(self) -> None:
        if self.pid is None:
            with (self._folder / "notebook.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "helpers.bench.chaos_course", str(self._folder)],
                    cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip

    def get_somewhere(self) -> None:
        """Wait until the course has written another note."""
        notes = self._folder / "notes.jsonl"
        before = notes.stat().st_size if notes.exists() else 0
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends and not (notes.exists() and notes.stat().st_size > before):
            self.keep_running()
            time.sleep(0.02)

    def run_to_the_end(self) -> None:
        """Raises ``CourseError`` when the course does not end although nobody kills any more."""
        ends = time.monotonic() + ENDS_S
        while time.monotonic() < ends:
            self.keep_running()
            assert self._process
            try:
                if self._process.wait(max(ends - time.monotonic(), 1)) == 0:
                    return
            except subprocess.TimeoutExpired:
                break
        raise CourseError(
            "the course does not end after the kills",
            (self._folder / "notebook.log").read_text(errors="replace")[-500:],
        )

    def kill(self) -> None:
        if self._process and self.pid:
            self._process.kill()
            self._process.wait()


def _kill(notebook: _Notebook, settings: Settings, chance: random.Random) -> str:
    """Kill somebody who is there; returns who, or '' where that one was not."""
    victim = chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
    service = find(settings)
    if victim == "notebook":
        pids = [notebook.pid] if notebook.pid else []
    elif service is None:
        pids = []
    elif victim == "service":
        pids = [pid for pid, _, line in _processes() if pid == service.pid and _SERVICE in line]
    else:
        pids = list(_below(service.pid, _MARKS[victim]))
    if not pids:
        return ""
    try:
        os.kill(chance.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return ""
    return victim


def _processes() -> list[tuple[int, int, str]]:
    """Id, parent and command line of every process, but those of the dead and of this look."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = []
    for line in listed.splitlines():
        pid, parent, state, arguments = line.split(None, 3)
        if not state.startswith("Z") and int(pid) != os.getpid():
            found.append((int(pid), int(parent), arguments))
    return found


def _below(ancestor: int, mark: str) -> Iterable[int]:
    """Processes below one whose command line holds ``mark``."""
    children = defaultdict(list)
    for pid, parent, line in _processes():
        children[parent].append((pid, line))
    todo = [ancestor]
    while todo:
        for pid, line in children[todo.pop()]:
            todo.append(pid)
            if mark in line:
                yield pid


def _count(folder: Path, toll: Toll) -> None:
    """Read what the notes, the queue and S3 say of each job."""
    course = Course.open(folder)
    topics = create_topics(course.cloud, course.ledger, "chaos")
    quiet = 0
    while quiet < 2:  # a message that was being read comes back after a second
        quiet = 0 if course.read_messages(topics, wait_s=2) else quiet + 1
    told: dict[str, set[str]] = defaultdict(set)
    for line in read_lines(folder / "notes.jsonl"):
        if line["what"] == "told":
            told[line["id"]].add(line["message"])
    s3, bucket = course.cloud.client("s3"), course.cloud.bucket
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=course.cloud.prefix)
    keys = {item["Key"] for page in pages for item in page.get("Contents", [])}
    for name, job in course.jobs.items():
        places = (job.output_location, job.failure_location)
        objects = sum(place.removeprefix(f"s3://{bucket}/") in keys for place in places)
        toll.accepted += 1
        toll.completed += job.output_location.removeprefix(f"s3://{bucket}/") in keys
        if not objects or not told[name]:
            toll.lost.append(f"{name}: {objects} objects, {len(told[name])} messages")
        if objects > 1:
            toll.twice.append(f"{name}: {objects} objects")
    toll.failed = toll.accepted - toll.completed
    toll.twice += [f"{name}: {len(ids)} messages" for name, ids in told.items() if len(ids) > 1]
    for key in sorted(key for key in keys if "/mme/" in key):
        toll.published += 1
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        try:
            members = read_members(body)
        except CourseError as trouble:
            toll.half.append(f"{key}: {trouble}")
            continue
        if not {"sd_lora/config.pbtxt", "sd_lora/1/model.py"} <= set(members):
            toll.half.append(f"{key}: {sorted(members)}")


def _clean(folder: Path) -> list[str]:
    """Clean up as notebook 09 does; what is still there, in words."""
    course = Course.open(folder)
    report = clean_up(course.cloud, course.ledger, personal_data=True)
    left = [f"{item}: {why}" for item, why in report.failed] + [str(item) for item in report.left]
    objects = course.cloud.settings.state / OBJECTS
    return left + [str(path) for path in objects.iterdir()]


def _left(folder: Path, works: set[Path], port: int | None) -> list[str]:
    """Processes, files and the port that are still there when an ending service had its time."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        left = [str(path) for path in works if path.exists()]
        left += [line for _, _, line in _processes() if str(folder) in line]
        with socket.socket() as probe:
            if port and probe.connect_ex(("127.0.0.1", port)) == 0:
                left.append(f"port {port}")
        if not left or time.monotonic() > ends:
            return left
        time.sleep(0.1)
