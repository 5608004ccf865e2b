"""A container's log as CloudWatch has it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from helpers.cloud.session import Cloud
from helpers.local.container_log import ContainerLog


def test_lines_of_many_threads_all_arrive_in_the_order_of_their_times(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Handler and host write at once, and CloudWatch refuses a batch whose times go back."""
    logs = cloud.client("logs")
    log = ContainerLog(path=tmp_path / "c.log", group="/many", stream="one", logs_client=logs)
    lines = 2_000

    def write(name: str) -> None:
        for number in range(lines):
            log.write(f"{name} {number}")
            if number % 100 == 0:
                time.sleep(0.001)

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log.close()
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/many")
    told = [event["message"] for page in pages for event in page["events"]]
    written = [line.partition(" ")[2] for line in log.path.read_text().splitlines()]
    assert told == written
    assert set(told) == {f"{name} {number}" for name in "abcd" for number in range(lines)}
