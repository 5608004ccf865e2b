"""A running Triton and avatars on it: how fast it answers, and what it takes of memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import ServiceError
from helpers.hosting.client import decode_outputs, encode_request
from helpers.local.triton import TritonServer

REGION = {"SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": str(1 << 20)}
CALLERS = 8


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Pictures that were asked for together: seconds from first to last, and of each call."""

    seconds: float
    calls: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return len(self.calls) / self.seconds


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A server, and in how many seconds it started; avatar ``n`` is the model ``m<n>`` with a
    target of its own."""

    server: TritonServer
    steps: int
    started: float

    def load(self, number: int, url: Path) -> float:
        """Load avatar ``number``; seconds. Raises ``ServiceError``."""
        began = time.perf_counter()
        answer = self.server.load(f"m{number}", url, target(number))
        if answer.status != 200:
            raise ServiceError("an avatar of the bench does not load", answer.error)
        return time.perf_counter() - began

    def unload(self, number: int) -> float:
        """Unload it; seconds."""
        began = time.perf_counter()
        self.server.unload(f"m{number}", target(number))
        return time.perf_counter() - began

    def paint(self, number: int, *, steps: int | None = None, seed: int = 1) -> float:
        """One picture by avatar ``number``; seconds. Raises ``ServiceError``."""
        args = {"num_inference_steps": steps or self.steps, "seed": seed}
        body = encode_request("a photo of a dog", None, args)
        began = time.perf_counter()
        answer = self.server.invoke(f"m{number}", body, target(number))
        if answer.status != 200:
            raise ServiceError("an avatar of the bench does not paint", answer.error)
        decode_outputs(answer.body, "generated_image")
        return time.perf_counter() - began

    def burst(self, numbers: Sequence[int], pictures: int, first: int = 0) -> Burst:
        """``pictures`` by ``CALLERS`` callers, the avatars in turns."""
        turns = [numbers[(first + place) % len(numbers)] for place in range(pictures)]
        began = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as pool:
            calls = tuple(pool.map(lambda one: self.paint(one), turns))
        return Burst(seconds=time.perf_counter() - began, calls=calls)

    def memory(self) -> float:
        """Megabytes of the server and everything it started: proportional set sizes of the
        processes, and all of their shared memory, touched or not."""
        private = sum(_unshared(pid) for pid in group(self.server.pid))
        shared = sum(
            file.stat().st_blocks * 512
            for file in Path("/dev/shm").glob(f"{self.server.shared_memory}*")
        )
        return (private + shared) / 1e6


@contextmanager
def on_stage(repository: Path | None, work: Path, *, steps: int) -> Iterator[Stage]:
    """The real Triton with a base of ``repository``, if any. Raises ``ServiceError``."""
    server = TritonServer()
    server.check()
    began = time.perf_counter()
    with server.start(repository, work, REGION, timeout=180):
        yield Stage(server=server, steps=steps, started=time.perf_counter() - began)


def target(number: int) -> str:
    return f"avatars/dog-{number}.tar.gz"


def group(leader: int) -> list[int]:
    """Processes of the group that ``leader`` leads."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def _unshared(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    sizes = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    kilobytes = {name: int(size.split()[0]) for name, size in sizes.items() if "kB" in size}
    return 1024 * (kilobytes["Pss"] - kilobytes.get("Pss_Shmem", 0))
