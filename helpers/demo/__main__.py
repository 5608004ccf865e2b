"""Ten photos to a gallery of avatars, end to end through the local SageMaker.

python3 course.py demo
python3 course.py demo --photos my_photos
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from helpers.errors import CourseError
from helpers.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="course.py demo", description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder with 10-12 photos of one person")
    given = parser.parse_args(arguments)
    whose = given.photos.name if given.photos else "Wren (who comes with the course)"
    print(f"From the photos of {whose} to avatars, through the local SageMaker:", flush=True)
    # Heavy libraries load from here on, after the first line is on the screen.
    from helpers.demo.plan import Plan
    from helpers.demo.run import run_demo

    try:
        settings = Settings.from_environment()
        plan = Plan(out=settings.outputs / "demo")
        if settings.fast:
            plan = replace(plan, n_steps=4, num_class_images=2, num_inference_steps=2, seeds=(2,))
        if given.photos:
            plan = replace(plan, photos=given.photos, heldout=None)
        report = run_demo(plan, settings)
    except CourseError as trouble:
        print(f"\n{type(trouble).__name__}: {trouble}", file=sys.stderr)
        return 1
    scores = report.facts["similarity"]
    engine = report.facts["serving_engine"] or {"name": "unknown", "version": ""}
    # Against the photos it learned from, a copy scores as well as a likeness.
    which = "photos it never saw" if report.facts["photos"]["heldout"] else "the photos it learned"
    print(f"\n  served by {engine['name']} {engine['version']}")
    print(f"  likeness to {which} rose in {scores['rises']} of {scores['of']} prompts")
    for score in scores["prompts"]:
        before, after = score["without_adapter"], score["with_adapter"]
        print(f"    {before:.2f} -> {after:.2f}  {score['prompt']}")
    print(f"\n  {plan.out / 'avatars.png'}\n  {plan.out / 'report.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
