"""Checks of a request's values: each refusal names the key, what it was and what it may be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from helpers.bases.registry import UNSUPPORTED
from helpers.errors import ConfigError, fit_to_print

_CORRECT = "Correct it, or leave the key out"


def check_value(name: str, kind: str, limits: Mapping[str, Any], value: Any) -> None:
    """Raise ``ConfigError`` unless ``value`` is of ``kind`` (a type's name) and within ``limits``.

    ``limits`` are a field's metadata: ``least``, ``most`` and ``open`` of a number; ``choices``
    and ``why``, or ``may_be_empty``, of a text.
    """
    if kind == "bool":
        if not isinstance(value, bool):
            raise ConfigError(f"{name} is {shown(value)}", "It is a switch", "Use true or false")
    elif kind == "str":
        _check_text(name, value, limits)
    else:
        allowed = int if kind == "int" else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            wanted = "a whole number" if kind == "int" else "a number"
            raise ConfigError(f"{name} is {shown(value)}", f"It must be {wanted}", _CORRECT)
        _check_range(name, value, limits)


def _check_text(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}", "It must be text", _CORRECT)
    if not value and limits.get("may_be_empty"):
        return
    if not value.strip() or len(value) > 500 or not value.isprintable():
        raise ConfigError(
            f"{name} is empty, too long or holds control characters",
            "",
            "Use 1 to 500 printable characters",
        )
    if (choices := limits.get("choices")) and value not in choices:
        raise ConfigError(
            f"{name} is {shown(value)}",
            UNSUPPORTED.get(value) or limits["why"],
            f"Choose from: {'; '.join(choices)}",
        )


def _check_range(name: str, value: float, limits: Mapping[str, Any]) -> None:
    least, most, open = limits["least"], limits["most"], limits["open"]
    # Written so that NaN, which compares with nothing, fails.
    fits = least <= value <= most
    if not fits or (open == "[" and value == least) or (open == "]" and value == most):
        low = f"above {least:g}" if open == "[" else f"at least {least:g}"
        high = f"below {most:g}" if open == "]" else f"at most {most:,.12g}"
        raise ConfigError(f"{name} is {shown(value)}", f"It must be {low} and {high}", _CORRECT)


def shown(value: Any) -> str:
    """A value as the request wrote it, if it is short; else what kind of thing it is."""
    kinds = {dict: "a set of keys", list: "a list", str: "a long text", int: "a huge number"}
    if isinstance(value, (dict, list)) or (isinstance(value, int) and abs(value) > 10**12):
        return kinds.get(type(value), "a collection")
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        return f"of type {type(value).__name__}"
    return fit_to_print(text, 100) if len(text) <= 80 else kinds.get(type(value), "a long value")
