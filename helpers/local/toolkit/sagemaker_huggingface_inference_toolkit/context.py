"""What a function with one argument more than usual is given: the model server's context."""

from __future__ import annotations

from pathlib import Path


class RequestProcessor:
    """The headers of one request, and what its response is to carry."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers
        self.content_type: str | None = None
        self.status = 200

    def get_request_properties(self) -> dict[str, str]:
        return self._headers

    def get_request_property(self, key: str) -> str | None:
        return self._headers.get(key)


class Context:
    """One object for the life of a worker; every request brings a new ``request_processor``."""

    def __init__(self, model_dir: Path) -> None:
        self.model_name = "model"
        self.manifest: dict[str, object] = {}
        self.system_properties = {
            "model_dir": str(model_dir),
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "MMS",
            "server_version": "local",
        }
        self.request_processor: list[RequestProcessor] = []

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.request_processor[idx].get_request_property(key)

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.request_processor[idx].content_type = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.request_processor[idx].status = code
