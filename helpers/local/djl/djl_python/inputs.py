"""A request as a handler sees it."""

from __future__ import annotations

import json
from typing import Any


class Input:
    """Properties (options at the first, empty request; HTTP headers at every other) and content.

    Without a ``key`` the ``get_as_*`` methods read the content named ``data``, or else the first.
    """

    def __init__(
        self, properties: dict[str, str] | None = None, content: dict[str, bytes] | None = None
    ) -> None:
        self.properties: dict[str, str] = dict(properties or {})
        self.content: dict[str, bytes] = dict(content or {})

    def is_empty(self) -> bool:
        """Whether this is the request that asks a handler to load its model."""
        return not self.content

    def is_batch(self) -> bool:
        return False

    def get_properties(self) -> dict[str, str]:
        return self.properties

    def get_property(self, key: str) -> str | None:
        """A property by name, upper and lower case alike; ``None`` if it is not there."""
        for name, value in self.properties.items():
            if name.lower() == key.lower():
                return value
        return None

    def contains_key(self, key: str) -> bool:
        return key in self.content

    def get_as_bytes(self, key: str | None = None) -> bytes | None:
        if not self.content:
            return None
        if key:
            if key not in self.content:
                raise KeyError(f"requested data for key:{key} is not found!")
            return self.content[key]
        return self.content.get("data", next(iter(self.content.values())))

    def get_as_string(self, key: str | None = None) -> str:
        return (self.get_as_bytes(key) or b"").decode("utf-8")

    def get_as_json(self, key: str | None = None) -> Any:
        return json.loads(self.get_as_string(key))
