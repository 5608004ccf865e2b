"""Read the part of protobuf's text format that Triton's ``config.pbtxt`` files use."""

from __future__ import annotations

import re
from typing import Any

from helpers.errors import ArchiveError

_TOKEN = re.compile(r'\s*(?:#[^\n]*\s*)*("(?:[^"\\]|\\.)*"|[\w.+-]+|[{}\[\]:,])')


def parse(text: str) -> dict[str, list[Any]]:
    """Every field as the list of its values (text, or a nested mapping of the same kind).

    Raises ``ArchiveError`` if the text is not in that format.
    """
    tokens, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            if not re.sub(r"#[^\n]*", "", text[place:]).strip():
                break
            raise _broken()
        tokens.append(match[1])
        place = match.end()
    tokens.reverse()  # the next one is the last: cheap to take
    message = _message(tokens, end=None)
    return message


def _message(tokens: list[str], end: str | None) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    while tokens and tokens[-1] != end:
        name = tokens.pop()
        if name == ",":
            continue
        if not re.fullmatch(r"\w+", name) or not tokens:
            raise _broken()
        colon = tokens[-1] == ":"
        if colon:
            tokens.pop()
        values = fields.setdefault(name, [])
        if tokens and tokens[-1] == "[":
            tokens.pop()
            while tokens and tokens[-1] != "]":
                if tokens[-1] == ",":
                    tokens.pop()
                else:
                    values.append(_value(tokens))
            _expect(tokens, "]")
        elif tokens and (colon or tokens[-1] == "{"):
            values.append(_value(tokens))
        else:
            raise _broken()
    if end is not None:
        _expect(tokens, end)
    return fields


def _value(tokens: list[str]) -> Any:
    token = tokens.pop()
    if token == "{":
        return _message(tokens, "}")
    if token in "}[]:,":
        raise _broken()
    return token[1:-1] if token.startswith('"') else token


def _expect(tokens: list[str], token: str) -> None:
    if not tokens or tokens.pop() != token:
        raise _broken()


def _broken() -> ArchiveError:
    return ArchiveError("config.pbtxt cannot be read", "it is not in protobuf's text format")
