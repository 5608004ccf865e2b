"""A JupyterLab of its own on copies of the notebooks, and a hand in a headless Chromium.

Everything is done as a learner does it: open a notebook, go to a cell, Shift+Enter, look.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as WaitedTooLong

from helpers.launcher.commands import UPLOADS
from helpers.settings import ROOT, Settings

WAIT_S = 300
ENTERS = 5
SHOTS = ROOT / "outputs" / "browser"
_QUIET = {
    "notebook-extension/tracker": {"windowingMode": "none", "recordTiming": False},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextmanager
def jupyter_lab(folder: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """The address of a JupyterLab at copies of the notebooks below ``folder``; ends with us.

    ``settings`` are the ``AVATAR_*`` of its kernels. It reads and writes no configuration but its
    own, and asks nobody for news.
    """
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for name, values in _QUIET.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AVATAR_")}
    own = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }  # fmt: skip
    token = secrets.token_hex(8)
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", "--allow-root",
             "--ip=127.0.0.1", f"--IdentityProvider.token={token}", *UPLOADS],
            cwd=folder / "notebooks", stdout=log, stderr=log,
            env={**kept, **{name: str(folder / place) for name, place in own.items()}, **settings,
                 "JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            yield f"{_address(folder, server)}lab/tree/{{}}?token={token}&reset"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _address(folder: Path, server: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and server.poll() is None:
        for file in (folder / "run").glob("jpserver-*.json"):
            try:
                return json.loads(file.read_text())["url"]
            except (ValueError, KeyError):  # half written
                continue
        time.sleep(0.1)
    raise AssertionError((folder / "lab.log").read_text())


@contextmanager
def browser(executable: str) -> Iterator[Page]:
    """A page of a fresh headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(WAIT_S * 1000)
        try:
            yield page
        finally:
            chromium.close()


@dataclass
class Notebook:
    """An open notebook."""

    page: Page

    @classmethod
    def open(cls, page: Page, address: str, name: str) -> Notebook:
        """Open it and wait until its kernel answers."""
        page.goto(address.format(name))
        one = cls(page)
        expect(one.panel.locator(".jp-Cell").first).to_be_visible(timeout=WAIT_S * 1000)
        idle = one.panel.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        until = time.monotonic() + WAIT_S
        while not idle.count():
            one.no_dialog()
            assert time.monotonic() < until, f"the kernel of {name} did not start"
            page.wait_for_timeout(200)
        return one

    @property
    def panel(self) -> Locator:
        """The notebook in sight; JupyterLab keeps others open behind it."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def cell(self, words: str) -> Locator:
        """The first code cell that holds these words."""
        return self.panel.locator(".jp-CodeCell", has=self.page.locator(
            ".cm-content", has_text=words)).first  # fmt: skip

    def run(self, *words: str, wait_s: float = WAIT_S) -> Locator:
        """Shift+Enter on the cell of each of these words, one after the other; the last one."""
        for one in words:
            cell = self.cell(one)
            self._enter(cell)
            self.finished(cell, wait_s=wait_s)
        return self.cell(words[-1])

    def _enter(self, cell: Locator) -> None:
        """Shift+Enter until the cell runs: on a busy machine a page drops keys while it settles."""
        prompt = cell.locator(".jp-InputArea-prompt").first
        for _ in range(ENTERS):
            self.no_dialog()
            cell.locator(".cm-content").first.click()
            self.page.keyboard.press("Shift+Enter")
            for _ in range(25):
                if re.fullmatch(r"\[[\d*]+\]:", (prompt.text_content() or "").strip()):
                    return
                self.page.wait_for_timeout(200)

    def finished(self, cell: Locator, *, wait_s: float = WAIT_S) -> None:
        self._numbered(cell, wait_s)
        self.no_error()

    def _numbered(self, cell: Locator, wait_s: float) -> None:
        """Wait for its number; an error before it ends the wait."""
        prompt = cell.locator(".jp-InputArea-prompt").first
        until = time.monotonic() + wait_s
        while not re.fullmatch(r"\[\d+\]:", (prompt.text_content() or "").strip()):
            self.no_error()
            self.no_dialog()
            if time.monotonic() > until:
                self.page.screenshot(path=SHOTS / "stuck.png")
                raise AssertionError(
                    f"a cell took longer than {wait_s:.0f} s; the page says:\n"
                    + self.page.locator("body").inner_text()[-4000:]
                )
            self.page.wait_for_timeout(200)

    def no_dialog(self) -> None:
        """Raise with what a dialogue says that stands before the notebook.

        Except where JupyterLab asks for a kernel, since the page was faster than the list of them:
        then take the one it proposes.
        """
        asked = self.page.locator(".jp-Dialog", has_text="Select Kernel")
        if asked.count():
            select = asked.get_by_role("button", name="Select", exact=True)
            with suppress(WaitedTooLong):  # it may go by itself when the list comes
                select.click(timeout=2_000)
            expect(asked).to_have_count(0)
            return
        said = self.page.locator(".jp-Dialog-content").all_inner_texts()
        assert not said, said

    def no_error(self) -> None:
        """Raise with what a cell says if one has failed."""
        wrong = self.panel.locator('[data-mime-type="application/vnd.jupyter.error"]')
        assert wrong.count() == 0, wrong.first.text_content()

    def shot(self, path: Path, element: Locator) -> Path:
        """A screenshot of the window as test output, with the end of ``element`` in sight."""
        path.parent.mkdir(parents=True, exist_ok=True)
        element.evaluate("one => one.scrollIntoView({block: 'end'})")
        self.page.screenshot(path=path)
        return path


@dataclass
class Desk:
    """``settings`` of the kernels, the browser's ``page``, and where screenshots go."""

    settings: Settings
    page: Page
    address: str
    shots: Path = SHOTS

    def open(self, name: str) -> Notebook:
        return Notebook.open(self.page, self.address, name)
