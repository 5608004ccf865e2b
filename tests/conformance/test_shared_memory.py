"""How many avatars fit into the 64 MB of an endpoint's /dev/shm, measured on the real Triton."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from helpers.archives import pack
from helpers.cloud.environment import SHARED_MEMORY
from helpers.errors import ServiceError
from helpers.hosting.client import spoken_error
from helpers.local.triton_host import IMAGE_DEFAULT_BYTES, SHARED_MEMORY_BYTES
from helpers.settings import ROOT
from tests.conformance.conftest import triton_or_skip

FEW = 4


@pytest.mark.parametrize(
    ("region", "fit"), [(1 << 20, 60), (IMAGE_DEFAULT_BYTES, SHARED_MEMORY_BYTES // (16 << 20) - 1)]
)
def test_each_model_takes_a_region_of_the_size_that_was_asked_for(
    echo_repository: Path, avatar: Callable[..., Path], tmp_path: Path, region: int, fit: int
) -> None:
    """What one more avatar takes says how many there can be: 60 at 1 MB, 3 at the default."""
    with triton_or_skip().start(
        echo_repository, tmp_path / "server", {SHARED_MEMORY: str(region)}, timeout=60
    ) as server:

        def taken() -> int:
            files = Path("/dev/shm").glob(f"{server.shared_memory}*")
            return sum(file.stat().st_size for file in files)

        base = taken()
        for number in range(FEW):
            target = f"avatars/dog-{number}.tar.gz"
            assert server.load(f"{number}", avatar(f"dog-{number}"), target).status == 200
        each = (taken() - base) / FEW
        assert region <= each <= region + (1 << 16)
        assert base + fit * each <= SHARED_MEMORY_BYTES < base + (fit + 4) * each


def test_a_full_one_is_said_so_and_idle_avatars_make_room(
    echo_repository: Path, avatar: Callable[..., Path], tmp_path: Path
) -> None:
    """In a real /dev/shm of 64 MB, where Triton answers 507, at which SageMaker unloads others."""
    triton_or_skip()
    archive = pack(avatar(), tmp_path / "avatar.tar.gz")
    said = in_small_shared_memory(
        "tests.conformance.small_shared_memory", str(echo_repository), str(archive), str(tmp_path)
    )
    found = json.loads(said.splitlines()[-1])
    assert found["size"] == SHARED_MEMORY_BYTES
    assert found["served"] == ["a dog"] * 4 and found["evictions"] == 1
    load, large, small = found["answers"]
    assert (load[0], large[0], small[0]) == (507, 507, 200)
    for _, text in (load, large):
        answer = {"Error": {"Code": "ModelError"}, "OriginalMessage": json.dumps({"error": text})}
        error = spoken_error(ClientError(answer, "InvokeEndpoint"))  # type: ignore[arg-type]
        assert isinstance(error, ServiceError) and "shared memory is full" in str(error)
    assert found["left"] == []


def in_small_shared_memory(module: str, *arguments: str) -> str:
    """What ``python -m module`` prints with a /dev/shm of its own of 64 MB.

    That takes root, or the right to make a user namespace; where neither is given, nothing of the
    kind can be tested.
    """
    mount = f"mount -t tmpfs -o size={SHARED_MEMORY_BYTES} tmpfs /dev/shm"
    for unshare in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            subprocess.run([*unshare, "sh", "-c", mount], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        command = [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-m"]
        done = subprocess.run(
            [*command, module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout
    pytest.skip("no mount namespace can be made here")
