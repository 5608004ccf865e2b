"""The local SageMaker's planes in this process, to test with limits of one's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.cloud.session import Cloud
from helpers.local.container_log import ContainerLog
from helpers.local.context import Context
from helpers.local.control_plane import ControlPlane
from helpers.local.data_plane import DataPlane
from helpers.local.guard import Guard
from helpers.local.hosts import Host, Placement, choose_host
from helpers.local.launch import find
from helpers.local.wire import Call


@contextmanager
def own_context(cloud: Cloud, folder: Path) -> Iterator[Context]:
    """A context that keeps its data in the session's service, and its processes to itself."""
    service = find(cloud.settings)
    assert service
    work = folder / "work"
    guard = Guard(work)
    try:
        yield Context(
            url=service.url, access_key=service.access_key, secret_key=service.secret_key,
            region=service.region, work=work, logs=folder / "logs",
            state=cloud.settings.state, threads=1, settle=0, guard=guard,
        )  # fmt: skip
    finally:
        guard.close()


@contextmanager
def own_planes(
    cloud: Cloud, folder: Path, calls: list[Call], **limits: float
) -> Iterator[DataPlane]:
    """A data plane with limits of its own before the endpoint that ``calls`` create."""
    with own_context(cloud, folder) as context:
        control = ControlPlane(context)
        try:
            for call in calls:
                control.answer(call)
            (made,) = control.endpoints.all()
            while made.status == "Creating":
                time.sleep(0.05)
            assert made.status == "InService", made.failure
            yield DataPlane(context, control, **limits)
        finally:
            control.stop()


@contextmanager
def own_host(cloud: Cloud, folder: Path, model: dict[str, Any]) -> Iterator[tuple[Host, Path]]:
    """A container of that model, started, and the file of its log."""
    with own_context(cloud, folder) as context:
        log = ContainerLog(
            path=folder / "container.log", group=f"/tests/{folder.name}", stream="one",
            logs_client=context.client("logs"),
        )  # fmt: skip
        container = folder / "container"
        container.mkdir()
        host = choose_host(Placement(context=context, model=model, folder=container, log=log))
        try:
            host.start()
            yield host, log.path
        finally:
            host.stop()
            log.close()
