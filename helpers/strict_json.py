"""JSON from outside, read so that nothing in it can hide or trip the reader."""

from __future__ import annotations

import json
import math
from typing import Any

from helpers.errors import fit_to_print

LARGEST = 16 * 1024**2


def parse(text: bytes | str, *, at_most: int = LARGEST, finite: bool = True) -> Any:
    """The value that ``text`` (UTF-8, with or without a byte order mark) holds.

    Stricter than ``json.loads``: a key that is there twice would hide one of its values, nesting
    must not exhaust the stack, and with ``finite`` NaN and infinity are no numbers, however they
    are written. Raises nothing but ``ValueError`` (``json.JSONDecodeError`` where it is no JSON);
    its words may quote a key, so they must not leave Triton.
    """
    if len(text) > at_most:
        raise ValueError(f"it is larger than {at_most / 1024**2:g} MiB")
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    strict: dict[str, Any] = {"parse_constant": _no_constant, "parse_float": _finite}
    try:
        return json.loads(text, object_pairs_hook=_no_doubles, **(strict if finite else {}))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_object(text: bytes | str, *, at_most: int = LARGEST) -> dict[str, Any]:
    """As ``parse``, for what must be an object. Raises ``ValueError`` alone."""
    value = parse(text, at_most=at_most)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key '{fit_to_print(key)}' is there twice")
        seen[key] = value
    return seen


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{fit_to_print(text)} is too large a number")
    return number
