"""The Hugging Face host: ``code/inference.py`` in workers with Multi Model Server's answers.

What AWS's container does as well: a model's error is HTTP 400 with ``InternalServerException``; a
worker that dies, is too slow or answers too much is replaced, and its request gets "Worker died.".
Stricter than AWS's: an endpoint whose model does not load fails, in words. There the server
answers pings before it has loaded anything (aws/deep-learning-containers#2917 tells the same of
its sibling), so a broken ``model_fn`` can be in service, and only the log says so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from helpers.local.djl_properties import environment_number
from helpers.local.hosts import Answer, HostError
from helpers.local.worker.local_worker.loop import Reply
from helpers.local.worker_host import Serving, WorkerHost
from helpers.local.worker_process import Worker, WorkerGone

_PACKAGES = Path(__file__).resolve().parent / "toolkit"
MAX_BYTES = 6_553_500
"""The model server's own limit of a request and of a response; ``MMS_MAX_REQUEST_SIZE`` and
``MMS_MAX_RESPONSE_SIZE`` change it."""


class ToolkitHost(WorkerHost):
    engine = "mms"

    def _read(self, model_dir: Path) -> Serving:
        environment = self._placement.environment
        program = os.path.basename(environment.get("SAGEMAKER_PROGRAM", "inference.py"))
        code = model_dir / "code"
        if not (code / program).is_file():
            raise HostError(
                f"There is no code/{program} in the model archive. In its own container the "
                "toolkit would build a pipeline by itself; the local one does not."
            )
        if (code / "requirements.txt").is_file():
            self._write(
                "code/requirements.txt is not installed here: the course's own environment serves"
            )

        def number(name: str, default: float) -> float:
            return environment_number(environment, name, default)

        # Without _SECONDS the number counts minutes; and it limits the loading too.
        minutes = number("SAGEMAKER_MODEL_SERVER_TIMEOUT", 60)
        timeout = number("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", 60 * minutes)
        self._most_response_bytes = int(number("MMS_MAX_RESPONSE_SIZE", MAX_BYTES))
        return Serving(
            module="sagemaker_huggingface_inference_toolkit.worker",
            arguments=("--model-dir", str(model_dir), "--program", program),
            paths=(code, _PACKAGES),
            options={},
            # In its container: one for each GPU, or else for each core.
            workers=max(int(number("SAGEMAKER_MODEL_SERVER_WORKERS", 1)), 1),
            predict_timeout=timeout,
            load_timeout=timeout,
            queue_size=int(number("MMS_JOB_QUEUE_SIZE", 100)),
            most_request_bytes=int(number("MMS_MAX_REQUEST_SIZE", MAX_BYTES)),
        )

    def _answer(self, worker: Worker, reply: Reply) -> Answer:
        if len(reply.body) > self._most_response_bytes:
            self._write(f"Message size exceed limit: {len(reply.body)}")
            worker.kill()
            raise WorkerGone(None)
        return Answer(
            status=reply.code,
            body=reply.body,
            content_type=reply.properties.get("content-type") or "application/octet-stream",
        )

    def _error_of(self, reply: Reply) -> str:
        return str(json.loads(reply.body)["message"])

    def _too_large(self, size: int) -> Answer:
        return Answer(status=413, body=b"", content_type="text/plain")

    def _unavailable(self, why: str) -> Answer:
        self._write(why)
        message = "No worker is available to serve request: model"
        return _trouble(503, "ServiceUnavailableException", message)

    def _lost(self, why: str) -> Answer:
        return _trouble(500, "InternalServerException", "Worker died.")


def _trouble(code: int, kind: str, message: str) -> Answer:
    said = {"code": code, "type": kind, "message": message}
    return Answer(status=code, body=(json.dumps(said, indent=2) + "\n").encode())
