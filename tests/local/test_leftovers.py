from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from helpers.local.leftovers import running_since, sweep_environments


def test_a_folder_goes_unless_a_server_that_runs_may_have_made_it(tmp_path: Path) -> None:
    began = time.time()
    mine, work = tmp_path / "python_env_Abc123", tmp_path / "python_envelope"
    for folder in (mine, work):
        folder.mkdir()
    (mine / "0").mkdir()
    later = time.time() + 60
    assert sweep_environments(later, place=tmp_path) == [], "it was there before"
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "tritonserver")
    with subprocess.Popen([program, "60"]) as other:
        assert any(abs(start - began) < 5 for start in running_since())
        assert sweep_environments(began, place=tmp_path) == [] and mine.exists()
        other.kill()
        other.wait()
    if running_since():  # one of another test, which may have made it as well
        return
    assert sweep_environments(began, place=tmp_path) == [mine]
    assert work.exists() and not mine.exists()
