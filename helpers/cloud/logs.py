"""What the containers of an endpoint wrote, from CloudWatch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from botocore.exceptions import ClientError

from helpers.cloud.session import Cloud


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """``time`` in milliseconds since the epoch; ``stream`` names variant and instance."""

    id: str
    time: int
    stream: str
    text: str

    def __str__(self) -> str:
        return self.text


def read_logs(cloud: Cloud, endpoint: str, *, since: int = 0) -> list[LogLine]:
    """Every line from ``since`` (milliseconds since the epoch) on, oldest first.

    An endpoint that has written nothing yet has an empty log.
    """
    return read_group(cloud, f"/aws/sagemaker/Endpoints/{cloud.name(endpoint)}", since=since)


def read_group(cloud: Cloud, group: str, *, stream: str = "", since: int = 0) -> list[LogLine]:
    """The lines of a log group, or of one of its streams, as ``read_logs`` gives them."""
    pages = cloud.client("logs").get_paginator("filter_log_events")
    streams = {"logStreamNames": [stream]} if stream else {}
    try:
        events = [
            event
            for page in pages.paginate(logGroupName=group, startTime=since, **streams)
            for event in page["events"]
        ]
    except ClientError as trouble:
        if trouble.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise
    lines = [
        LogLine(
            id=event["eventId"],
            time=event["timestamp"],
            stream=event["logStreamName"],
            text=event["message"].rstrip("\n"),
        )
        for event in events
    ]
    return sorted(lines, key=lambda line: line.time)


def serving_engine(cloud: Cloud, endpoint: str) -> dict[str, str] | None:
    """``{"name", "version"}`` of the model server, as it states them in its log; ``None`` if not.

    Triton prints a table with ``server_id`` and ``server_version``; the local hosts write a line.
    """
    found: dict[str, str] = {}
    for line in read_logs(cloud, endpoint):
        if match := re.search(r"^\[sagemaker\] engine: (.+) (\S+)$", line.text):
            return {"name": match[1], "version": match[2]}
        if match := re.search(r"\| server_(id|version)\s*\| (\S+)", line.text):
            found["name" if match[1] == "id" else "version"] = match[2]
    return found if len(found) == 2 else None
