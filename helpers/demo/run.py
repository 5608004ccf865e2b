"""The demo from its first photo to its clean-up."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from helpers.bases import shipped_base
from helpers.cloud.cleanup import clean_up
from helpers.cloud.ledger import Ledger
from helpers.cloud.session import open_cloud
from helpers.demo.plan import Plan, choose_photos
from helpers.demo.report import Report
from helpers.demo.stages import draw_gallery, fine_tune, host_and_paint, measure
from helpers.local import launch
from helpers.local.statefile import private_folder
from helpers.photos.prepare import prepare
from helpers.settings import Settings
from helpers.ui.gallery import save_poster


def run_demo(plan: Plan, settings: Settings) -> Report:
    """Run every stage, then clean up; the report is written also when a stage fails.

    Raises ``CourseError`` when something cannot be completed.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    # A namespace of its own: the clean-up at the end must not touch what a notebook made.
    settings = replace(settings, backend="local", learner=f"demo-{secrets.token_hex(3)}")
    started_here = launch.find(settings) is None
    # In the state folder, where `course.py clean` finds it if the demo is killed.
    work = Path(tempfile.mkdtemp(prefix="demo-", dir=private_folder(settings.state)))
    report = Report()
    try:
        _run(plan, settings, report, work)
    finally:
        if started_here:
            launch.stop(settings)
        shutil.rmtree(work, ignore_errors=True)
        report.write(plan.out / "report.json")
    return report


def _run(plan: Plan, settings: Settings, report: Report, work: Path) -> None:
    with report.stage("photos", "Looking at the photos"):
        base = shipped_base(settings.base_model)
        photos, heldout = choose_photos(plan)
        shown = [one.image for one in prepare(photos, size=base.resolution)]
        references = [one.image for one in prepare(heldout or photos, size=base.resolution)]
        report.facts["photos"] = {"instance": len(photos), "heldout": len(heldout)}
    with report.stage("service", "Starting the local SageMaker"):
        cloud = open_cloud(settings)
        ledger = Ledger(work / "ledger.jsonl")
    try:
        adapter = fine_tune(plan, cloud, ledger, base, photos, report, work)
        pictures = host_and_paint(plan, cloud, ledger, base, adapter, report, work)
        with report.stage("measure", "Measuring likeness"):
            report.facts["similarity"] = measure(pictures, references)
        with report.stage("gallery", "Hanging the gallery"):
            poster = draw_gallery(shown, pictures)
            save_poster(poster, plan.out / "avatars.png", adapters=pictures.adapters)
    finally:
        with report.stage("clean-up", "Cleaning up"):
            cleaned = clean_up(cloud, ledger, personal_data=True)
            report.facts["clean_up"] = {
                "removed": [asdict(one) for one in cleaned.removed],
                "left": [asdict(one) for one in cleaned.left],
            }
    cleaned.require_empty()
