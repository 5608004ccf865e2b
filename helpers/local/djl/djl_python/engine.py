"""The Python process of a model: loads its handler, then answers one request after another."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_worker.loop import Reply, hide_the_course, run

from .inputs import Input
from .outputs import Output

Handle = Callable[[Input], Any]


def answer(handle: Handle, inputs: Input) -> Output:
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


def load_handler(model_dir: Path, entry_point: str, handler: str) -> Handle:
    """The handler function of a model. Raises whatever its module raises."""
    if entry_point.endswith(".py"):
        if not (model_dir / entry_point).is_file():
            raise ValueError(f"entry-point file not found {model_dir / entry_point}.")
        entry_point = entry_point[:-3]
    return getattr(importlib.import_module(entry_point), handler)


class Engine:
    """One model: its handler is imported by the first request and answers every one."""

    def __init__(self, model_dir: Path, entry_point: str, handler: str) -> None:
        self._place = model_dir, entry_point, handler
        self._handle: Handle | None = None

    def respond(self, properties: dict[str, str], body: bytes | None) -> Reply:
        inputs = Input({**properties, "model_dir": str(self._place[0])})
        if body is not None:
            inputs.content["data"] = body
        try:
            self._handle = self._handle or load_handler(*self._place)
            output = answer(self._handle, inputs)
        except BaseException as trouble:  # sys.exit in a model must be answered too
            traceback.print_exc()
            output = Output().error(str(trouble), message="model failed to load")
        return Reply(
            code=output.code,
            message=output.message,
            properties=output.properties,
            body=b"".join(part for _, part in output.content),
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
    engine = Engine(arguments.model_dir, arguments.entry_point, arguments.handler)
    run(arguments.socket, engine.respond)


if __name__ == "__main__":
    main()
