"""The start-up check: what a failed install, a strange torch or a full disk look like at load."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import SetupError
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from helpers.pins import _holds, direct_pins, installed, unmet
from helpers.settings import ROOT
from helpers.startup import check_start_up, import_libraries


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text(f"-c lock.txt\n# ours\npillow=={installed('pillow')}  # pictures\n")
    return path


def test_a_healthy_container_says_what_it_has(requirements: Path, tmp_path: Path) -> None:
    found = check_start_up(requirements)
    assert found.packages == {"pillow": installed("pillow")}
    assert found.torch.startswith(str(installed("torch"))) and found.free_disk > 0
    said = str(found)
    assert "pillow" in said and "/dev/shm" in said and "GB of disk free" in said
    assert check_start_up(requirements, devices=tmp_path).shared_memory is None


def test_a_failed_install_names_package_found_and_wanted(requirements: Path) -> None:
    with requirements.open("a") as file:
        file.write("diffusers==0.1.0\nno-such-package==1.2\n")
    with pytest.raises(SetupError) as refused:
        check_start_up(requirements)
    said = str(refused.value)
    assert f"diffusers is {installed('diffusers')}, wanted 0.1.0" in said
    assert "no-such-package is missing, wanted 1.2" in said
    assert "pillow" not in said and "wheels" in said


def test_a_torch_that_does_not_import_is_said_so(
    requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SetupError, match=r"torch cannot be imported.*InferenceAmiVersion"):
        check_start_up(requirements)
    assert gc.isenabled(), "imports are not watched by the garbage collector; what follows is"


def test_imported_libraries_leave_the_garbage_collector_as_it_was() -> None:
    import_libraries()
    assert {"torch", "transformers", "diffusers", "peft"} <= sys.modules.keys()
    assert gc.isenabled()
    gc.disable()
    try:
        import_libraries()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_gpu_that_torch_does_not_see_is_refused(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    devices = tmp_path / "dev"
    devices.mkdir()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (devices / "nvidiactl").touch()
    assert check_start_up(requirements, devices=devices).gpus == 0
    (devices / "nvidia0").touch()
    with pytest.raises(
        SetupError, match=r"GPU that torch does not see.*was built (for|without) CUDA"
    ):
        check_start_up(requirements, devices=devices)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert check_start_up(requirements, devices=devices).gpus == 1


@pytest.mark.promise(
    "A container on a full disk says so",
    fault="too few bytes free",
    outcome="`SetupError`, in words that Triton does not take for memory",
)
def test_a_full_disk_is_refused_without_words_that_triton_takes_for_memory(
    requirements: Path, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=r"GB are free, 1000000000\.0 GB are needed") as refused:
        check_start_up(requirements, need_disk=10**18, scratch=tmp_path)
    assert not any(words in str(refused.value) for words in OUT_OF_MEMORY_WORDS)


NAMES = st.sampled_from(["pillow", "numpy", "torch", "nothing-of-the-kind"])
VERSIONS = st.sampled_from(["1.0", "2.0.1"])


@given(
    pins=st.dictionaries(NAMES, VERSIONS), tail=st.sampled_from(["", " --hash=sha256:0", " # x"])
)
def test_pins_are_read_whatever_stands_behind_them(
    pins: dict[str, str], tail: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pins") / "requirements.txt"
    path.write_text("--no-index\n" + "".join(f"{n}=={v}{tail}\n" for n, v in pins.items()))
    assert direct_pins(path) == pins
    assert unmet(pins) == {name: installed(name) for name in pins if installed(name) != pins[name]}


def test_nothing_heavy_is_imported_before_the_packages_are_known_to_be_there() -> None:
    code = "import sys, helpers.startup; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (">=1.0,<999", True),
        (">=0.0.0.1,<999.1", True),
        (">=998,<999", False),
        (">=0.1,<0.2", False),
    ],
)
def test_a_range_holds_or_is_named(requirements: Path, wanted: str, holds: bool) -> None:
    requirements.write_text(f"pillow{wanted}  # pictures\n")
    if holds:
        assert check_start_up(requirements).packages == {"pillow": installed("pillow")}
        return
    with pytest.raises(SetupError, match=f"pillow is .*, wanted {wanted}"):
        check_start_up(requirements)


@given(st.tuples(*[st.integers(0, 30)] * 3), st.tuples(*[st.integers(0, 30)] * 3))
def test_versions_are_ordered_by_number_and_not_by_letter(
    found: tuple[int, ...], bound: tuple[int, ...]
) -> None:
    version, limit = (".".join(map(str, one)) for one in (found, bound))
    assert _holds(version, f">={limit},<99") == (found >= bound)
    assert _holds(f"{version}rc1", f">=0,<{limit}") == (found < bound)
