"""The Python process of a model: loads it at the first request, answers every other one."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from local_worker.loop import Reply, hide_the_course, run

from .handler_service import HuggingFaceHandlerService, refusal


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--program", required=True)
    arguments = parser.parse_args()
    hide_the_course()
    sys.path.insert(0, str(arguments.model_dir / "code"))
    service = HuggingFaceHandlerService(arguments.model_dir, arguments.program)

    def respond(headers: dict[str, str], body: bytes | None) -> Reply:
        if body is not None:
            return service.handle(headers, body)
        try:
            service.initialize()
        except Exception as trouble:
            traceback.print_exc()
            return refusal(500, f"{type(trouble).__name__}: {trouble}")
        return Reply(code=200, message="loaded")

    run(arguments.socket, respond)


if __name__ == "__main__":
    main()
