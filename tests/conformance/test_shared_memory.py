"""How many avatars fit into the 64 MB of an endpoint's /dev/shm, measured on the real Triton."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.cloud.environment import SHARED_MEMORY
from helpers.local.triton_host import IMAGE_DEFAULT_BYTES, SHARED_MEMORY_BYTES
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
