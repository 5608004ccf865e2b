"""The Python process of a model: loads its handler, then answers one request after another.

It ends with the host: a thread reads the socket, and when the host is gone the whole process group
goes, also in the middle of a training.
"""

from __future__ import annotations

import argparse
import importlib
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .frames import receive, send
from .inputs import Input
from .outputs import Output


def answer(handle: Callable[[Input], Any], inputs: Input) -> Output:
    """What DJL answers for a handler: its output, 204 for ``None``, 424 or 507 for an exception."""
    try:
        output = handle(inputs)
    except MemoryError as trouble:
        traceback.print_exc()
        return Output(507, str(trouble) or "out of memory")
    except Exception as trouble:
        traceback.print_exc()
        if type(trouble).__name__ == "OutOfMemoryError":  # torch's, without importing torch
            return Output(507, str(trouble))
        return Output().error(f"{trouble}", message="invoke handler failure")
    if output is None:
        return Output(204, "No content")
    if not isinstance(output, Output):
        return Output().error(f"Invalid output type: {type(output)}")
    return output


def hide_the_course() -> None:
    """Take the course's checkout from the import path, where its environment puts it.

    A container has no checkout: what its archive forgot must be missing here too.
    """
    checkout = Path(__file__).resolve().parents[4]
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != checkout]


def load_handler(model_dir: Path, entry_point: str, handler: str) -> Callable[[Input], Any]:
    """The handler function of a model. Raises whatever its module raises."""
    if entry_point.endswith(".py"):
        if not (model_dir / entry_point).is_file():
            raise ValueError(f"entry-point file not found {model_dir / entry_point}.")
        entry_point = entry_point[:-3]
    return getattr(importlib.import_module(entry_point), handler)


def serve(connection: socket.socket, model_dir: Path, entry_point: str, handler: str) -> None:
    requests: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()

    def read() -> None:
        try:
            while True:
                requests.put(receive(connection))
        except EOFError:
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=read, name="requests", daemon=True).start()
    handle: Callable[[Input], Any] | None = None
    while True:
        head, body = requests.get()
        inputs = Input(head["properties"] | {"model_dir": str(model_dir)})
        if head["data"]:
            inputs.content["data"] = body
        try:
            handle = handle or load_handler(model_dir, entry_point, handler)
            output = answer(handle, inputs)
        except BaseException as trouble:  # sys.exit in a model must be answered too
            traceback.print_exc()
            output = Output().error(str(trouble), message="model failed to load")
        sys.stdout.flush()
        sys.stderr.flush()
        send(
            connection,
            {"code": output.code, "message": output.message, "properties": output.properties},
            b"".join(part for _, part in output.content),
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--entry-point", default="model.py")
    parser.add_argument("--handler", default="handle")
    arguments = parser.parse_args()
    hide_the_course()
    sys.path.insert(0, str(arguments.model_dir))
    connection = socket.socket(fileno=arguments.socket)
    serve(connection, arguments.model_dir, arguments.entry_point, arguments.handler)


if __name__ == "__main__":
    main()
