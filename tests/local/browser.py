"""A page in a real Chromium that asks the local service, seen through the browser's own log."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.local.knocks import Knock

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PAGE = """<!doctype html><title>a page</title><body>
<iframe src="BASE/framed"></iframe><iframe src="EVIL/bound"></iframe><iframe name="sent"></iframe>
<form method="post" action="BASE/sent" target="sent"><input name="Action" value="ListTopics"></form>
<script>
document.forms[0].submit();
const knocks = KNOCKS, base = "BASE";
const ask = (one, mode) => fetch(base + one.path, {
  method: one.method, mode, body: ["GET", "HEAD"].includes(one.method) ? undefined : one.body,
  headers: mode === "cors" ? one.headers : {},
}).catch(() => 0);
(async () => {
  for (const one of knocks) {
    await ask(one, "cors");
    if (["GET", "HEAD", "POST"].includes(one.method)) await ask(one, "no-cors");
  }
  const image = new Image(); image.src = base + "/picture.png";
  await new Promise(done => { image.onerror = image.onload = done; });
  document.title = "asked";
})();
</script>"""


def chromium() -> str | None:
    """The command of a Chromium on this machine, if there is one."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def visited(browser: str, port: int, knocks: list[Knock], folder: Path) -> list[int]:
    """Every status that the service answered to a page of another port: its scripts, its image, its
    form and its frames, of which one calls itself ``evil.example``."""
    log, site = folder / "net.json", folder / "site"
    site.mkdir()
    text = _PAGE.replace("BASE", f"http://127.0.0.1:{port}")
    text = text.replace("EVIL", f"http://evil.example:{port}").replace("KNOCKS", json.dumps(knocks))
    (site / "index.html").write_text(text, encoding="utf-8")
    handler = partial(_Silent, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _visit(browser, f"http://127.0.0.1:{server.server_port}/", folder, log)
        server.shutdown()
    answers = _answers(log.read_text(encoding="utf-8"), port)
    for path in ("/framed", "/bound", "/sent", "/picture.png"):
        assert any(url.endswith(path) for url, _ in answers), f"{path} was not asked for"
    assert len(answers) >= len(knocks) + 4, "the page asked for less than it should"
    return [status for _, status in answers]


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _visit(browser: str, page: str, folder: Path, log: Path) -> None:
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
         "--host-resolver-rules=MAP evil.example 127.0.0.1", "--virtual-time-budget=20000",
         "--dump-dom", page],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip


def _answers(text: str, port: int) -> list[tuple[str, int]]:
    """Address and status of what was asked at that port, from a net log."""
    whole = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")
    kinds = {number: name for name, number in whole["constants"]["logEventTypes"].items()}
    asked: dict[int, str] = {}
    found = []
    for event in whole["events"]:
        source, parameters = event["source"]["id"], event.get("params", {})
        if f":{port}/" in str(parameters.get("url", "")):
            asked[source] = parameters["url"]
        if kinds[event["type"]] == "HTTP_TRANSACTION_READ_RESPONSE_HEADERS" and source in asked:
            line = re.match(r"HTTP/1\.\d (\d{3})", str(parameters.get("headers", [""])[0]))
            found += [(asked[source], int(line[1]))] if line else []
    return found
