"""Jobs side by side: each in a process of its own, on cores of its own.

What is compared runs under the same load: while there is work, every lane is busy, and whoever asks
hands the work over in turns (the one recipe, the other, the one again). Threads are pinned, because
torch slows ten-fold where two of them share a core.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from helpers.bench.machine import cores
from helpers.errors import TrainingError
from helpers.settings import ROOT

Key = TypeVar("Key")

WIDEST = 4
"""Cores of one lane at most, so that a large machine measures a job as a small one runs it."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One process: ``module`` is run with ``given`` and answers with a JSON object.

    ``folder`` is its own; request, answer and log lie there. ``gpu``: it may see one.
    """

    module: str
    given: Mapping[str, Any]
    folder: Path
    gpu: bool = False


@dataclass(kw_only=True)
class Lanes:
    """``count`` lanes over the machine's cores; one where there is but one core."""

    count: int = 2
    say: Callable[[str], None] = field(default=lambda text: None)

    def run(self, chains: Mapping[Key, Sequence[Task]]) -> dict[Key, list[dict[str, Any]]]:
        """Run every chain: its tasks one after another, chains side by side, begun in order.

        Returns the answers of each chain. Raises ``TrainingError`` for the first task that fails;
        those that run then are ended.
        """
        free: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        lanes = share(cores(), self.count)
        for lane in lanes:
            free.put(lane)
        running: set[subprocess.Popen[bytes]] = set()
        stopped = False

        def walk(chain: Sequence[Task]) -> list[dict[str, Any]]:
            lane = free.get()
            try:
                return [one(task, lane) for task in chain]
            finally:
                free.put(lane)

        def one(task: Task, lane: list[int]) -> dict[str, Any]:
            if stopped:
                raise TrainingError("The bench was stopped")
            process = start(task, lane)
            running.add(process)
            try:
                if stopped:  # meanwhile, so that nobody has seen this one
                    process.terminate()
                process.wait()
            finally:
                running.discard(process)
            answer = read_answer(task, process.returncode)
            self.say(task.folder.name)
            return answer

        with ThreadPoolExecutor(len(lanes)) as pool:
            futures = {key: pool.submit(walk, chain) for key, chain in chains.items()}
            try:
                done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                return {key: future.result() for key, future in futures.items()}
            except BaseException:
                stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(running):
                    process.terminate()
                raise


def share(found: Sequence[int], count: int) -> list[list[int]]:
    """Cores for each lane: as many for each, ``WIDEST`` at most, and no core twice."""
    count = max(1, min(count, len(found)))
    width = min(len(found) // count, WIDEST)
    return [list(found[place * width : (place + 1) * width]) for place in range(count)]


def start(task: Task, lane: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a task on the cores of a lane."""
    task.folder.mkdir(parents=True, exist_ok=True)
    request = task.folder / "request.json"
    request.write_text(json.dumps({**task.given, "cores": list(lane)}), encoding="utf-8")
    (task.folder / "answer.json").unlink(missing_ok=True)
    threads = str(len(lane))
    environ = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        **({} if task.gpu else {"CUDA_VISIBLE_DEVICES": ""}),
    }
    with (task.folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", task.module, str(task.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=task.folder,
            env=environ,
        )


def read_answer(task: Task, code: int) -> dict[str, Any]:
    """What a task that ended answered. Raises ``TrainingError`` if it did not."""
    try:
        if code == 0:
            return json.loads((task.folder / "answer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    log = (task.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip()
    raise TrainingError(
        f"the bench's task {task.folder.name} ended with code {code}",
        log.splitlines()[-1] if log else "it said nothing",
        f"read {task.folder / 'log.txt'}",
    )


def serve(work: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """A task's ``main``: pin this process, do the work, leave the answer. To be called before
    torch is imported, which looks once at how many cores it has."""
    folder = Path(sys.argv[1])
    given = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, given["cores"])
    partial = folder / ".answer.json"
    partial.write_text(json.dumps(work(given), allow_nan=False), encoding="utf-8")
    os.replace(partial, folder / "answer.json")
