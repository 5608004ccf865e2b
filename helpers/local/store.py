"""The names that the control plane knows: models, endpoint configurations, endpoints, their tags.

Each kind is one ``Shelf``. AWS's words for a name that is taken or missing live here. What has to
outlive the service is kept in its journal as plain values.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from helpers.local.journal import Journal
from helpers.local.wire import Refusal


def now() -> datetime:
    return datetime.now(UTC)


class Named(Protocol):
    """What every record on a shelf has."""

    @property
    def name(self) -> str: ...
    @property
    def arn(self) -> str: ...
    @property
    def created(self) -> datetime: ...


@dataclass(kw_only=True)
class Record:
    """A model or an endpoint configuration: what was asked for, and when."""

    name: str
    arn: str
    request: dict[str, Any]
    created: datetime = field(default_factory=now)

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {**vars(self), "created": self.created.isoformat()}

    @classmethod
    def of_plain(cls, data: dict[str, Any]) -> Record:
        return cls(**{**data, "created": datetime.fromisoformat(data["created"])})


Item = TypeVar("Item", bound=Named)
Anything = TypeVar("Anything")


class Shelf(Generic[Item]):
    """Records of one kind by name; safe to use from many threads."""

    def __init__(self, words: str, arn: Callable[[str], str]) -> None:
        self._words, self._arn = words, arn
        self._items: dict[str, Item] = {}
        self._lock = threading.Lock()

    def add(self, item: Item) -> Item:
        with self._lock:
            if item.name in self._items:
                raise Refusal(
                    "ValidationException",
                    f'Cannot create already existing {self._words} "{item.arn}".',
                )
            self._items[item.name] = item
        return item

    def get(self, name: str) -> Item:
        item = self._items.get(name)
        if item is None:
            raise Refusal(
                "ValidationException", f'Could not find {self._words} "{self._arn(name)}".'
            )
        return item

    def find(self, name: str) -> Item | None:
        return self._items.get(name)

    def remove(self, name: str) -> Item:
        with self._lock:
            item = self.get(name)
            del self._items[name]
        return item

    def all(self) -> list[Item]:
        with self._lock:
            return list(self._items.values())


class Records(Shelf[Record]):
    """A shelf whose records are in the journal too, and on the shelf again at the next start."""

    def __init__(self, words: str, arn: Callable[[str], str], journal: Journal) -> None:
        super().__init__(words, arn)
        self._journal = journal
        self._items = {name: Record.of_plain(data) for name, data in journal.all(words).items()}

    def add(self, item: Record) -> Record:
        super().add(item)
        try:
            self._journal.save(self._words, item.name, item.plain())
        except Exception:
            super().remove(item.name)
            raise
        return item

    def remove(self, name: str) -> Record:
        self._journal.drop(self._words, self.get(name).name)
        return super().remove(name)


class Tags:
    """Tags by ARN."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._tags: dict[str, dict[str, str]] = self._journal.all("tags")

    def add(self, arn: str, tags: Iterable[dict[str, str]]) -> list[dict[str, str]]:
        held = self._tags.setdefault(arn, {})
        held.update({tag["Key"]: tag["Value"] for tag in tags})
        self._journal.save("tags", arn, held)
        return self.of(arn)

    def remove(self, arn: str, keys: Iterable[str]) -> None:
        held = self._tags.get(arn, {})
        for key in keys:
            held.pop(key, None)
        self._journal.save("tags", arn, held)

    def of(self, arn: str) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self._tags.get(arn, {}).items()]

    def drop(self, arn: str) -> None:
        self._tags.pop(arn, None)
        self._journal.drop("tags", arn)

    def tagged(self) -> list[str]:
        return [arn for arn, tags in self._tags.items() if tags]


def page(
    items: Iterable[Item],
    parameters: dict[str, Any],
    *,
    keep: Callable[[Item], bool] = lambda _: True,
    by: dict[str, Callable[[Item], Any]] | None = None,
) -> tuple[list[Item], str | None]:
    """One page of a listing, newest first unless asked otherwise, and the next page's token."""
    chosen = [
        item
        for item in items
        if keep(item)
        and parameters.get("NameContains", "").lower() in item.name.lower()
        and _within(item.created, parameters, "CreationTime")
    ]
    order: Any = {"Name": lambda item: item.name, **(by or {})}.get(
        parameters.get("SortBy", "CreationTime"), lambda item: item.created
    )
    chosen.sort(key=lambda item: (order(item), item.name))
    if parameters.get("SortOrder", "Descending") == "Descending":
        chosen.reverse()
    return cut(chosen, parameters, usual=10)


def cut(
    items: Sequence[Anything],
    parameters: dict[str, Any],
    *,
    usual: int,
    fault: str = "ValidationException",
) -> tuple[list[Anything], str | None]:
    """``MaxResults`` items (or as many as usual) from where ``NextToken`` left off, and the next
    token; ``fault`` is the service's word for a token that is not its own."""
    start = _read_token(parameters.get("NextToken"), fault)
    end = start + parameters.get("MaxResults", usual)
    return list(items[start:end]), _write_token(end) if end < len(items) else None


def _within(moment: datetime, parameters: dict[str, Any], what: str) -> bool:
    after, before = parameters.get(f"{what}After"), parameters.get(f"{what}Before")
    stamp = moment.timestamp()
    return (after is None or stamp > float(after)) and (before is None or stamp < float(before))


def _write_token(start: int) -> str:
    return base64.urlsafe_b64encode(f"page:{start}".encode()).decode()


def _read_token(token: str | None, fault: str) -> int:
    if not token:
        return 0
    try:
        word, _, start = base64.urlsafe_b64decode(token).decode().partition(":")
        if word != "page":
            raise ValueError
        return max(int(start), 0)
    except ValueError:
        raise Refusal(fault, "Invalid pagination token.") from None
