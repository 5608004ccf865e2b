"""A stand-in for Triton where the real one cannot run (macOS, Windows, Python 3.13).

Same HTTP contract, same models, one Python process; it says what it is when asked for its name.
``tests/conformance`` runs one suite against it and against the real server, which found the
contract: `409` for a model that is registered already, `507` for an error that reads as out of
memory, `{}` in the list for a model that was loaded under a target. Where Triton 24.10 would end
(malformed JSON) or wait for 350 seconds (an unload without its target), the stand-in answers 400.
With ``strict`` it also refuses what the server of 2026 refuses and that of 2024 takes: models
outside of ``/opt/ml/models`` (here: of the folders in its own), and targets a shell would read.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from helpers import __version__
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from helpers.local.model_server import TARGET_HEADER, ModelServer
from helpers.settings import ROOT

BASE = "avatar_base"
_NAME = "[0-9A-Za-z._]"
_REFUSED = set(";|&$`<>()[]{}\\\"'*?~#!")
_LOG = logging.getLogger(__name__)


class StandInServer(ModelServer):
    """Runs ``python -m helpers.local.standin`` in the course's own environment."""

    engine_name = "stand-in for Triton"

    def __init__(self, *, strict: bool = False) -> None:
        """``strict``: with the rules of the server of 2026 on addresses and targets."""
        super().__init__()
        self._strict = strict

    @property
    def engine(self) -> dict[str, str]:
        said = json.loads(self.request("GET", "/v2").body)
        return {"name": said["name"], "version": said["version"]}

    def _command(self, base: Path | None, work: Path, env: dict[str, str]) -> list[str]:
        env["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, "-m", "helpers.local.standin", "--port", str(self.port)]
        command += ["--work", str(work)] + (["--strict"] if self._strict else [])
        return command + (["--base", str(base)] if base else [])


@dataclass(frozen=True, kw_only=True)
class _Registered:
    """A model that the endpoint asked for: where it lies and under which name it runs."""

    url: str
    name: str
    target: str | None


class _Front:
    """SageMaker's multi-model requests, as the table of Triton's front end has them."""

    def __init__(self, models: Any, strict_below: Path | None = None) -> None:
        """``strict_below``: folders in it stand for ``/opt/ml/models`` in the rule of 2026."""
        self.models, self._strict_below = models, strict_below
        self._registered: dict[str, _Registered] = {}
        self._lock = threading.Lock()

    def load(self, body: bytes, target: str | None) -> tuple[int, Any]:
        from helpers.local.standin_models import ModelFailure

        try:
            wish = json.loads(body)
            name, url = str(wish["model_name"]), str(wish["url"])
        except (ValueError, KeyError, TypeError):
            return 400, "failed to parse the request JSON buffer"
        if why := self._too_loose(url, target):
            return 400, why
        with self._lock:
            if name in self._registered:
                return 409, f"model repository '{url}' has already been registered"
            one = _Registered(url=url, name=target or name, target=target)
            if any(other.name == one.name for other in self._registered.values()):
                return 409, f"failed to register '{one.name}', there is a conflicting mapping"
            folder = Path(url)
            if not (folder / "config.pbtxt").exists():
                folder = next(iter(sorted(folder.glob("*/config.pbtxt"))), folder / "-").parent
            try:
                self.models.load(one.name, folder)
            except ModelFailure as error:
                return self._failure(str(error))
            self._registered[name] = one
        return 200, None

    def invoke(
        self, name: str, body: bytes, target: str | None, content_type: str
    ) -> tuple[int, Any]:
        from helpers.local.standin_models import ModelFailure
        from helpers.local.standin_wire import read_tensors, write_answer

        one = self._registered.get(name)
        if one is None:
            return 404, None
        if one.target != target:
            return 400, f"Request for unknown model: '{target or name}' is not found"
        try:
            tensors, binary = read_tensors(body, content_type)
            answer = self.models[one.name].run(tensors)
        except ModelFailure as error:
            return self._failure(str(error))
        if answer.has_error():
            return self._failure(answer.error().message())
        return 200, write_answer(one.name, answer.output_tensors(), binary)

    def unload(self, name: str, target: str | None) -> tuple[int, Any]:
        with self._lock:
            one = self._registered.get(name)
            if one is None:
                return 404, None
            if one.target != target:
                return 400, "the model was loaded with another target"
            del self._registered[name]
            self.models.unload(one.name)
        return 200, None

    def describe(self, name: str) -> tuple[int, Any]:
        one = self._registered.get(name)
        if one is None:
            return 404, None
        return 200, {"modelName": name, "modelUrl": one.url}

    def listing(self) -> tuple[int, Any]:
        # Triton asks whether the opaque name is ready; what has a target is not known by it.
        known = [
            {} if one.target else {"modelName": name, "modelUrl": one.url}
            for name, one in self._registered.items()
        ]
        return 200, {"models": known}

    def _too_loose(self, url: str, target: str | None) -> str:
        if self._strict_below is None:
            return ""
        place = re.escape(str(self._strict_below))
        if not re.fullmatch(rf"{place}/[^/]+/{_NAME}+/model(/{_NAME}+)?", url):
            return "the model's url is not one of /opt/ml/models/<name>/model"
        if target is not None and set(target) & _REFUSED:
            return "the target model holds a character that is not allowed"
        return ""

    @staticmethod
    def _failure(text: str) -> tuple[int, str]:
        return (507 if any(words in text for words in OUT_OF_MEMORY_WORDS) else 400), text


class _Handler(BaseHTTPRequestHandler):
    front: _Front
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self._path():
            case ["ping"]:
                self._answer(200, None)
            case ["v2"]:
                self._answer(200, {"name": "stand-in", "version": __version__})
            case ["models"]:
                self._answer(*self.front.listing())
            case ["models", name] | ["models", name, "invoke"]:
                self._answer(*self.front.describe(name))
            case _:
                self._answer(400, None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("Content-Type", "")
        match self._path():
            case ["models"]:
                self._answer(*self.front.load(body, self._target()))
            case ["models", name, "invoke"]:
                self._answer(*self.front.invoke(name, body, self._target(), kind))
            case _:
                self._answer(400, None)

    def do_DELETE(self) -> None:
        match self._path():
            case ["models", name]:
                self._answer(*self.front.unload(name, self._target()))
            case _:
                self._answer(400, None)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(400, None)

    def _path(self) -> list[str]:
        return [unquote(part) for part in self.path.strip("/").split("/")]

    def _target(self) -> str | None:
        return self.headers.get(TARGET_HEADER)

    def _answer(self, status: int, content: Any) -> None:
        if isinstance(content, str):
            content = {"error": content}
        kind = "application/json" if status == 200 else "text/plain"
        if isinstance(content, tuple):
            body, kind = content
        else:
            body = b"" if content is None else json.dumps(content).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.info(format, *args)


def main() -> None:
    """The server process: load the shared base, then answer on the loopback address."""
    from helpers.local.standin_models import Models, install

    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--work", required=True, help="folder of this server (names it in ps)")
    options.add_argument("--base", type=Path)
    options.add_argument("--strict", action="store_true", help="the rules of the server of 2026")
    given = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    models = Models(given.base)
    install(models)
    # A repository must exist; a base may be laid there later, and loaded then.
    if given.base and BASE in os.listdir(given.base):
        models.load(BASE, given.base / BASE)
    _Handler.front = _Front(models, Path(given.work) if given.strict else None)
    with ThreadingHTTPServer(("127.0.0.1", given.port), _Handler) as server:
        _LOG.info("stand-in %s answers on port %d", __version__, given.port)
        server.serve_forever()


if __name__ == "__main__":
    main()
