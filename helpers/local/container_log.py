"""One log per container: a file on this machine and, as on AWS, a CloudWatch log stream."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

_BATCH, _LONGEST = 500, 200_000


class ContainerLog:
    """Lines with timestamps, in ``path`` and in the stream ``stream`` of the log group ``group``.

    The file is written at once. CloudWatch gets the lines in batches, a fraction of a second later,
    from a thread of its own, so that a slow log never slows a container.
    """

    def __init__(self, *, path: Path, group: str, stream: str, logs_client: Any) -> None:
        self.path, self.group, self.stream = path, group, stream
        self._client = logs_client
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1, encoding="utf-8", errors="replace")
        self._pending: list[dict[str, Any]] = []
        self._wake = threading.Condition()
        self._closed = False
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._shipper = threading.Thread(target=self._ship, name=f"log {stream}", daemon=True)
        self._shipper.start()

    def write(self, line: str) -> None:
        message = line[:_LONGEST] or " "  # CloudWatch takes neither empty nor huge events
        with self._wake:
            if self._closed:
                return
            # CloudWatch refuses a whole batch whose times go back, as a clock's may.
            moment = self._latest = max(self._latest, datetime.now(UTC))
            event = {"timestamp": int(moment.timestamp() * 1000), "message": message}
            print(
                f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z {line}",
                file=self._file,
            )
            if self._shipper.is_alive():
                self._pending.append(event)
                self._wake.notify()

    def follow(self, source: IO[bytes]) -> threading.Thread:
        """Copy every line of a container's output; the thread that does it ends with the output."""

        def pump() -> None:
            with source:
                for line in source:
                    # A progress bar rewrites its line with carriage returns: keep the last state.
                    text = line.decode("utf-8", "replace").rstrip().rpartition("\r")[2]
                    self.write(text)

        thread = threading.Thread(target=pump, name=f"output {self.stream}", daemon=True)
        thread.start()
        return thread

    def tail(self, lines: int = 5) -> str:
        return "\n".join(self.path.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._shipper.join(5)
        self._file.close()

    def _ship(self) -> None:
        try:
            self._ensure_stream()
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._pending or self._closed)
                    batch, self._pending = self._pending[:_BATCH], self._pending[_BATCH:]
                    closed = self._closed
                if closed and not batch:
                    return
                self._client.put_log_events(
                    logGroupName=self.group, logStreamName=self.stream, logEvents=batch
                )
                if not closed:
                    time.sleep(0.2)
        except Exception as trouble:  # the file still has every line
            print(f"CloudWatch copy of {self.group} {self.stream} ended: {trouble}", flush=True)

    def _ensure_stream(self) -> None:
        for create, names in (
            (self._client.create_log_group, {"logGroupName": self.group}),
            (
                self._client.create_log_stream,
                {"logGroupName": self.group, "logStreamName": self.stream},
            ),
        ):
            with suppress(self._client.exceptions.ResourceAlreadyExistsException):
                create(**names)
