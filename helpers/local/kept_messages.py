"""Messages that wait in moto's queues, kept until somebody has read and deleted them."""

from __future__ import annotations

import time
from typing import Any

from helpers.local.context import ACCOUNT
from helpers.local.journal import Journal

KIND = "message"
_FIELDS = (
    "body", "receipt_handle", "_old_receipt_handles", "sent_timestamp", "visible_at",
    "approximate_first_receive_timestamp", "approximate_receive_count", "delayed_until",
    "deduplication_id", "group_id", "sequence_number", "message_attributes",
)  # fmt: skip


class KeptMessages:
    """What the queues of one region hold, as the journal knows it."""

    def __init__(self, journal: Journal, region: str) -> None:
        self._journal, self._region = journal, region
        self._known: dict[str, tuple[Any, ...]] = {}

    def look(self) -> None:
        """Write down what has come, gone, or been shown to somebody since the last look."""
        with self._journal.change():
            held: dict[str, tuple[Any, ...]] = {}
            for name, queue in list(self._queues().items()):
                for message in list(queue._messages):
                    key = f"{name}/{message.id}"
                    held[key] = (message.visible_at, message.approximate_receive_count)
                    if self._known.get(key) != held[key]:
                        self._journal.save(KIND, key, {f: getattr(message, f) for f in _FIELDS})
            for gone in self._known.keys() - held.keys():
                self._journal.drop(KIND, gone)
            self._known = held

    def put_back(self) -> None:
        """Fill the queues, which are there again, with what they held; too old is too old."""
        from moto.sqs.models import Message

        for key, fields in self._journal.all(KIND).items():
            name, _, number = key.partition("/")
            queue: Any = self._queues().get(name)
            oldest = (time.time() - queue.message_retention_period) * 1000 if queue else 0
            if queue is None or fields["sent_timestamp"] < oldest:
                self._journal.drop(KIND, key)
                continue
            message: Any = Message(number, fields["body"])
            vars(message).update(fields)
            queue._messages.append(message)
            self._known[key] = (message.visible_at, message.approximate_receive_count)

    def _queues(self) -> dict[str, Any]:
        from moto.sqs.models import sqs_backends

        return sqs_backends[ACCOUNT][self._region].queues
