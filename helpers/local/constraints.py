"""What SageMaker would refuse before it even looks: types, lengths, ranges, patterns, enums.

botocore's ``ParamValidator`` finds unknown and missing parameters, wrong types and lower bounds;
the walk below adds the upper bounds, patterns and enums that only the server checks.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

from botocore.validate import ParamValidator


def violations(parameters: dict[str, Any], shape: Any) -> list[str]:
    """Every violated constraint in words; empty when the parameters fit the shape."""
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        return [str(line) for line in report.generate_report().split("\n")]
    return list(_walk(parameters, shape, ""))


def summary(found: list[str] | tuple[str, ...]) -> str:
    """All violations in one message, as AWS begins it."""
    plural = "" if len(found) == 1 else "s"
    return f"{len(found)} validation error{plural} detected: {'; '.join(found)}"


def _walk(value: Any, shape: Any, place: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, inner in value.items():
            at = f"{place}.{_lower(name)}" if place else _lower(name)
            yield from _walk(inner, shape.members[name], at)
    elif shape.type_name == "list":
        yield from _bounds(len(value), shape, place, "length")
        for index, inner in enumerate(value, 1):
            yield from _walk(inner, shape.member, f"{place}.{index}.member")
    elif shape.type_name == "map":
        yield from _bounds(len(value), shape, place, "length")
        for key, inner in value.items():
            yield from _walk(key, shape.key, f"{place}.key")
            yield from _walk(inner, shape.value, f"{place}.{key}.member")
    elif shape.type_name == "string":
        yield from _bounds(len(value), shape, place, "length")
        allowed = shape.metadata.get("enum")
        if allowed and value not in allowed:
            yield _words(value, place, f"satisfy enum value set: [{', '.join(allowed)}]")
        pattern = _compiled(shape.metadata.get("pattern"))
        if pattern and not pattern.fullmatch(value):
            # A name may hold anything but what the pattern forbids, so the value is repeated.
            rule = f"satisfy regular expression pattern: {shape.metadata['pattern']}"
            yield _words(value, place, rule)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _bounds(value, shape, place, "value")


def _bounds(size: float, shape: Any, place: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if most is not None and size > most:
        yield _words(size, place, f"have {what} less than or equal to {most}")
    if least is not None and size < least:
        yield _words(size, place, f"have {what} greater than or equal to {least}")


def _words(value: object, place: str, rule: str) -> str:
    return f"Value '{value}' at '{place}' failed to satisfy constraint: Member must {rule}"


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


_JAVA = (
    (r"\p{ASCII}", r"[\x00-\x7f]"),
    (r"\z", r"\Z"),
    (r"[\w-_]", r"[\w-]"),
    # What lies above the first plane, which Java writes as pairs of surrogates.
    (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"),
)
_NAMED = {"Print": r"\x20-\x7e", "Alnum": "a-zA-Z0-9"}
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]|\\p\{\w+\}")


@cache
def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """AWS writes Java patterns; the character classes that Python lacks are translated.

    ``None`` for no pattern, and for the few that are no pattern in Java either.
    """
    if pattern is None:
        return None
    for java, python in _JAVA:
        pattern = pattern.replace(java, python)
    pattern = _CLASS.sub(_spelt_out, pattern)
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error:
        return None


def _spelt_out(found: re.Match[str]) -> str:
    """A class of characters with every ``\\p{…}`` in it, or one that stands alone, as ranges."""
    ranges = re.sub(r"\\p\{(\w+)\}", lambda name: _category(name[1]), found[0])
    return ranges if found[0].startswith("[") else f"[{ranges}]"


def _category(name: str) -> str:
    """The characters of ``Print``, ``Alnum`` or a Unicode category (``L``, ``Zs``), as ranges."""
    if name in _NAMED:
        return _NAMED[name]
    return "".join(part for kind, part in _categories() if kind.startswith(name))


@cache
def _categories() -> list[tuple[str, str]]:
    """Every run of characters of one category: its two letters, and the run as a range."""
    runs = groupby(range(sys.maxunicode + 1), key=lambda code: unicodedata.category(chr(code)))
    found = []
    for kind, run in runs:
        first, *rest = run
        found.append((kind, rf"\U{first:08x}-\U{rest[-1] if rest else first:08x}"))
    return found
