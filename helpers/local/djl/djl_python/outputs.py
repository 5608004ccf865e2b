"""An answer as a handler gives it."""

from __future__ import annotations

import json
from typing import Any


class Output:
    """A status code, properties that become HTTP headers, and content.

    Every setter returns the output, so that calls chain.
    """

    def __init__(self, code: int = 200, message: str = "OK") -> None:
        self.code, self.message = code, message
        self.properties: dict[str, str] = {}
        self.content: list[tuple[str | None, bytes]] = []

    def set_code(self, code: int) -> Output:
        self.code = code
        return self

    def set_message(self, message: str) -> Output:
        self.message = message
        return self

    def add_property(self, key: str, val: str) -> Output:
        self.properties[key] = val
        return self

    def add(self, value: Any, key: str | None = None) -> Output:
        """Add text, bytes, or anything that JSON can say."""
        if isinstance(value, str):
            self.content.append((key, value.encode("utf-8")))
        elif isinstance(value, (bytes, bytearray)):
            self.content.append((key, bytes(value)))
        else:
            self.add_as_json(value, key)
        return self

    def add_as_json(self, val: Any, key: str | None = None) -> Output:
        text = json.dumps(val, ensure_ascii=False, allow_nan=False, indent=2)
        self.content.append((key, text.encode("utf-8")))
        return self

    def error(self, error: str, code: int = 424, message: str = "prediction failure") -> Output:
        """Turn this output into a failure; the body says it again as JSON."""
        self.code, self.message = code, message
        self.add_property("content-type", "application/json")
        return self.add_as_json({"code": code, "message": message, "error": error})
