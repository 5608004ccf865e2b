"""A stand-in for Triton where the real one cannot run (macOS, Windows, Python 3.13).

Same HTTP contract, same models, one Python process; it says what it is when asked for its name.
``tests/conformance`` runs one suite against it and against the real server, which found the
contract: `409` for a model that is registered already, `507` for an error that reads as out of
memory, `{}` in the list for a model that was loaded under a target. Where Triton 24.10 would end
(malformed JSON) or wait for 350 seconds (an unload without its target), the stand-in answers 400.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
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
_LOG = logging.getLogger(__name__)


class StandInServer(ModelServer):
    """Runs ``python -m helpers.local.standin`` in the course's own environment."""

    engine_name = "stand-in for Triton"

    @property
    def engine(self) -> dict[str, str]:
        said = json.loads(self.request("GET", "/v2").body)
        return {"name": said["name"], "version": said["version"]}

    def _command(self, base: Path | None, work: Path, env: dict[str, str]) -> list[str]:
        env["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, "-m", "helpers.local.standin", "--port", str(self.port)]
        return command + ["--work", str(work)] + (["--base", str(base)] if base else [])


@dataclass(frozen=True, kw_only=True)
class _Registered:
    """A model that the endpoint asked for: where it lies and under which name it runs."""

    url: str
    name: str
    target: str | None


class _Front:
    """SageMaker's multi-model requests, as the table of Triton's front end has them."""

    def __init__(self, models: Any) -> None:
        self.models = models
        self._registered: dict[str, _Registered] = {}
        self._lock = threading.Lock()

    def load(self, body: bytes, target: str | None) -> tuple[int, Any]:
        from helpers.local.standin_models import ModelFailure

        try:
            wish = json.loads(body)
            name, url = str(wish["model_name"]), str(wish["url"])
        except (ValueError, KeyError, TypeError):
            return 400, "failed to parse the request JSON buffer"
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

    def invoke(self, name: str, body: bytes, target: str | None) -> tuple[int, Any]:
        from helpers.local.standin_models import ModelFailure

        one = self._registered.get(name)
        if one is None:
            return 404, None
        if one.target != target:
            return 400, f"Request for unknown model: '{target or name}' is not found"
        try:
            answer = self.models[one.name].run(_tensors(body))
        except ModelFailure as error:
            return self._failure(str(error))
        if answer.has_error():
            return self._failure(answer.error().message())
        return 200, {
            "model_name": one.name,
            "model_version": "1",
            "outputs": [_output(tensor) for tensor in answer.output_tensors()],
        }

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

    @staticmethod
    def _failure(text: str) -> tuple[int, str]:
        return (507 if any(words in text for words in OUT_OF_MEMORY_WORDS) else 400), text


def _tensors(body: bytes) -> dict[str, Any]:
    import numpy as np

    from helpers.local.standin_models import ModelFailure, Tensor

    try:
        tensors = {}
        for one in json.loads(body)["inputs"]:
            if one["datatype"] != "BYTES":
                raise ModelFailure(f"unexpected datatype for input '{one['name']}'")
            values = np.array([text.encode("utf-8") for text in _flat(one["data"])], dtype=object)
            tensors[one["name"]] = Tensor(one["name"], values.reshape(one["shape"]))
        return tensors
    except ModelFailure:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFailure("failed to parse the request JSON buffer") from error


def _flat(data: Any) -> list[Any]:
    return [text for part in data for text in (_flat(part) if isinstance(part, list) else [part])]


def _output(tensor: Any) -> dict[str, Any]:
    values = tensor.as_numpy()
    texts = [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values.ravel()]
    return {
        "name": tensor.name(),
        "datatype": "BYTES",
        "shape": list(values.shape),
        "data": texts,
    }


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
        match self._path():
            case ["models"]:
                self._answer(*self.front.load(body, self._target()))
            case ["models", name, "invoke"]:
                self._answer(*self.front.invoke(name, body, self._target()))
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
        body = b"" if content is None else json.dumps(content).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
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
    given = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    models = Models(given.base)
    install(models)
    # A repository must exist; a base may be laid there later, and loaded then.
    if given.base and BASE in os.listdir(given.base):
        models.load(BASE, given.base / BASE)
    _Handler.front = _Front(models)
    with ThreadingHTTPServer(("127.0.0.1", given.port), _Handler) as server:
        _LOG.info("stand-in %s answers on port %d", __version__, given.port)
        server.serve_forever()


if __name__ == "__main__":
    main()
