"""Measure what the course claims.

python3 course.py bench
python3 course.py bench fine-tune
python3 course.py bench experiments
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from helpers.bench.registry import BENCHES, bench
from helpers.errors import CourseError
from helpers.settings import Settings
from helpers.startup import hush_libraries
from helpers.tables import Table


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns 0 when everything was measured, whether its goal holds or not, and 1
    when the bench itself failed."""
    parser = argparse.ArgumentParser(prog="course.py bench", description=__doc__)
    parser.add_argument("name", nargs="?", help="what to measure; without it: what there is")
    parser.add_argument("--quick", action="store_true", help="only walk through: no number counts")
    parser.add_argument(
        "--publish", action="store_true", help="also write the numbers into the documentation"
    )
    given = parser.parse_args(arguments)
    if given.name is None:
        rows = [(name, one.about) for name, one in sorted(BENCHES.items())]
        print(Table(head=("bench", "what it measures"), rows=rows))
        return 0
    if given.publish and given.quick:
        parser.error("--publish: the numbers of --quick mean nothing")
    hush_libraries()
    try:
        return _measure(given.name, quick=given.quick, publish=given.publish)
    except CourseError as trouble:
        print(f"\n{type(trouble).__name__}: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped: nothing was written", file=sys.stderr)
        return 130


def _measure(name: str, *, quick: bool, publish: bool) -> int:
    chosen, settings = bench(name), Settings.from_environment()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", flush=True)

    say(chosen.about)
    # Heavy libraries load from here on, after the first line is on the screen.
    from helpers.bench.machine import describe_machine
    from helpers.bench.report import make_report

    rows = chosen.run(settings, quick=quick, say=say)
    report = make_report(
        name,
        rows,
        machine=describe_machine(settings),
        seconds=time.monotonic() - began,
        quick=quick,
    )
    path = report.write(settings.outputs / "bench")
    if publish:
        say(f"written into {chosen.publish(report).name}")
    print(f"\n{report.table}\n\n  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
