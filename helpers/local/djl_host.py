"""The DJL host: a model's Python workers with DJL Serving's answers.

A handler's exception is its answer (424, 507).
"""

from __future__ import annotations

import json
from pathlib import Path

from helpers.local.djl_properties import read_properties
from helpers.local.hosts import Answer
from helpers.local.worker.local_worker.loop import Reply
from helpers.local.worker_host import Serving, WorkerHost
from helpers.local.worker_process import Worker

_PACKAGES = Path(__file__).resolve().parent / "djl"
"""Holds the package ``djl_python``, as the container's site-packages would."""


class DjlHost(WorkerHost):
    engine = "djl"

    def _read(self, model_dir: Path) -> Serving:
        properties = read_properties(model_dir, self._placement.environment)
        if (model_dir / "requirements.txt").is_file():
            self._write(
                "requirements.txt is not installed here: the course's own environment serves"
            )
        return Serving(
            module="djl_python.engine",
            arguments=(
                "--model-dir", str(model_dir),
                "--entry-point", properties.entry_point, "--handler", properties.handler,
            ),
            paths=(model_dir, _PACKAGES),
            options={**properties.options, "device_id": "-1"},
            workers=properties.workers,
            predict_timeout=properties.predict_timeout,
            load_timeout=properties.model_loading_timeout,
            queue_size=properties.job_queue_size,
            most_request_bytes=properties.max_request_bytes,
        )  # fmt: skip

    def _answer(self, worker: Worker, reply: Reply) -> Answer:
        headers = {name.lower(): value for name, value in reply.properties.items()}
        body = reply.body
        if reply.code == 507 and not body:
            # DJL puts this message into the reason phrase of the HTTP answer alone.
            body = json.dumps({"code": 507, "message": reply.message}).encode()
        return Answer(
            status=reply.code,
            body=body,
            content_type=headers.get("content-type", "application/json"),
        )

    def _error_of(self, reply: Reply) -> str:
        try:
            return str(json.loads(reply.body)["error"])
        except (ValueError, KeyError, TypeError):
            return reply.body.decode("utf-8", "replace")[:500]

    def _too_large(self, size: int) -> Answer:
        limit = self._serving.most_request_bytes
        why = f"the request has {size:,} bytes, the limit is {limit:,} (SERVING_MAX_REQUEST_SIZE)"
        return _trouble(413, "RequestEntityTooLarge", why)

    def _unavailable(self, why: str) -> Answer:
        return _trouble(503, "ServiceUnavailableException", why)

    def _lost(self, why: str) -> Answer:
        return _trouble(500, "EngineException", why)


def _trouble(code: int, kind: str, message: str) -> Answer:
    return Answer(
        status=code, body=json.dumps({"code": code, "type": kind, "message": message}).encode()
    )
