"""From uploaded photos to an avatar, as a learner goes: notebooks 02, 03 and 08, cell by cell.

    python -m tests.browser.journey PHOTO PHOTO ...

takes the whole journey at the course's own pace (some ten minutes), in folders of its own, and
leaves screenshots in ``outputs/browser``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, expect

from helpers.launcher.machine import chromium
from helpers.local.launch import stop
from helpers.settings import ROOT, Settings
from tests.browser.jupyter import WAIT_S, Desk, browser, jupyter_lab

FINE_TUNE = (
    'start("03', "create_topics(", "package_training_service(", "deploy_async(",
    "wait_in_service(cloud", "concept_prompt", "submit(cloud", "watch(cloud", "answer = result(",
)  # fmt: skip
HOST = (
    'start("08', "publish_avatar(", "build_serving_image(", "deploy_multi_model(", "AvatarClient(",
)  # fmt: skip
LONGEST_S = 1800


def agree(form: Locator, who: str) -> None:
    """Record a consent in the form of notebook 02."""
    form.get_by_label("who agrees").fill(who)
    form.get_by_label("for days").fill("7")
    form.get_by_label("for days").press("Tab")
    form.get_by_text("an adult: myself").click()
    form.get_by_role("button", name="Record consent").click()


def upload(form: Locator, *photos: Path) -> None:
    """Choose files in the dialogue of *Add photos*."""
    button = form.get_by_role("button", name="Add photos")
    with form.page.expect_file_chooser() as chosen:
        button.click()
    assert chosen.value.element.evaluate("input => input.accept") == "image/*", "a phone's camera"
    chosen.value.set_files(photos)


def photograph(desk: Desk, photos: Sequence[Path], who: str = "Ada") -> None:
    """Notebook 02: consent, photos, and what the later notebooks need."""
    notebook = desk.open("02_prepare_photos.ipynb")
    form = notebook.run('start("02', "guided_capture").locator(".jp-OutputArea-output")
    agree(form, who)
    upload(form, *photos)
    expect(form.locator("figure img")).to_have_count(len(photos), timeout=WAIT_S * 1000)
    notebook.run("form.capture.save()", "lab.keep(photos")


def fine_tune(desk: Desk) -> None:
    """Notebook 03, to the adapter."""
    notebook = desk.open("03_fine_tune_async.ipynb")
    last = notebook.run(*FINE_TUNE, wait_s=LONGEST_S)
    expect(last).to_contain_text("completed")
    notebook.shot(desk.shots / "03_watch.png", notebook.cell("watch(cloud"))


def paint(desk: Desk, prompt: str) -> Locator:
    """Notebook 08, to a picture of that prompt in the studio; returns the studio."""
    notebook = desk.open("08_host_and_generate.ipynb")
    notebook.run(*HOST, wait_s=LONGEST_S)
    form = notebook.run("studio(client").locator(".jp-OutputArea-output")
    form.get_by_label("prompt", exact=True).fill(prompt)
    form.get_by_label("prompt", exact=True).press("Tab")
    form.get_by_role("button", name="Paint").click()
    expect(form.locator("img")).to_have_count(1, timeout=WAIT_S * 1000)
    notebook.shot(desk.shots / "08_studio.png", form.first)
    return form


def main(photos: Sequence[str]) -> int:
    """Take the journey at the course's own pace."""
    executable = chromium()
    if executable is None or not photos:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="avatar-journey-") as name:
        folder = Path(name)
        given = {"AVATAR_LEARNER": "journey", "AVATAR_STATE": str(folder / "state"),
                 "AVATAR_OUTPUTS": str(folder / "outputs")}  # fmt: skip
        settings = Settings.from_environment(given)
        try:
            with jupyter_lab(folder, given) as address, browser(executable) as page:
                desk = Desk(settings=settings, page=page, address=address)
                photograph(desk, [Path(photo).resolve() for photo in photos])
                fine_tune(desk)
                paint(desk, "a photo of a <<TOK>> person in the snow")
        finally:
            stop(settings)
    print(*sorted((ROOT / "outputs" / "browser").glob("*.png")), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
