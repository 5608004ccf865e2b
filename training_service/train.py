"""The door of a training job: SageMaker runs this file; helpers do the work.

The image brings torch and no library of ours, so they are installed first, from wheels beside this
file where the job has no network. What is there already, at its version, is left alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.pins import direct_pins, unmet
from helpers.startup import check_start_up

CODE = Path(__file__).resolve().parent


def main() -> int:
    requirements = CODE / "requirements.txt"
    if unmet(direct_pins(requirements)):
        install = [sys.executable, "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        subprocess.run(install, cwd=CODE, check=False)  # whether it worked, the check says
    print(check_start_up(requirements), flush=True)
    from helpers.experiments.cell_files import CELL, run_cell_job
    from helpers.tuning.train_job import TRAINING, Container, run

    container = Container.from_environment()
    is_cell = (container.channel(TRAINING) / CELL).is_file()  # of an experiment
    work = run_cell_job if is_cell else None
    return run(container, log=lambda line: print(line, flush=True), work=work)


if __name__ == "__main__":
    sys.exit(main())
