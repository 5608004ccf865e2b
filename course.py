"""The course's launcher: ``python3 course.py demo | test | lab | bench | clean``.

It needs nothing but Python 3.11 or 3.12. Under another Python it looks for one of those two and
starts again with it; this file alone therefore keeps to a syntax that old Pythons understand.
"""

import os
import shutil
import subprocess
import sys

SUPPORTED = ((3, 11), (3, 12))
NAMES = ("python3.12", "python3.11")
PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"

HOW_TO_GET_PYTHON = """\
This course needs Python 3.11 or 3.12. This is Python {version}, and neither python3.12 nor
python3.11 was found that works and can make virtual environments. To get one:

  Debian 12, Ubuntu   sudo apt-get install python3.11 python3.11-venv   (or 3.12)
  macOS               brew install python@3.12
  conda               conda env create -f environment.yml && conda activate avatar-course

Then run the same command again."""


def other_python():
    """The path of an installed Python 3.12 or 3.11 that runs and can make environments, or None."""
    for name in NAMES:
        path = shutil.which(name)
        if path is None:
            continue
        try:  # a name on PATH proves nothing: version managers leave doors that lead nowhere
            answer = subprocess.run(
                [path, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.stdout.decode().strip() == name[len("python") :]:
            return path
    return None


def main(arguments):
    if os.name == "nt":
        print("On Windows the course runs inside WSL2: install it with `wsl --install`, open its")
        print("terminal, clone the repository there, and run the same command.")
        return 1
    if sys.version_info[:2] not in SUPPORTED:
        python = other_python()
        if python is None:
            print(HOW_TO_GET_PYTHON.format(version="{}.{}".format(*sys.version_info[:2])))
            return 1
        sys.stdout.flush()
        os.execv(python, [python, os.path.abspath(__file__), *arguments])

    from helpers.launcher.commands import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
