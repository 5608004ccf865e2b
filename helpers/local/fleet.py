"""The instances of one production variant, each with a container of its own."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass, field
from typing import Any

from helpers.local.container_log import ContainerLog
from helpers.local.context import Context
from helpers.local.hosts import (
    Answer,
    Host,
    HostError,
    ImageError,
    Invocation,
    ModelDataError,
    Placement,
    choose_host,
    is_multi_model,
)
from helpers.local.store import Record


@dataclass(kw_only=True)
class Instance:
    """One instance: its container, its log, and whether it still takes work."""

    id: str
    host: Host
    log: ContainerLog
    retired: bool = False

    def invoke(self, invocation: Invocation, timeout_s: float) -> Answer:
        return self.host.invoke(invocation, timeout_s)

    def stop(self) -> None:
        self.retired = True
        self.host.stop()
        self.log.close()


@dataclass(kw_only=True)
class Variant:
    """A production variant at work: the model it runs and the instances that run it."""

    name: str
    request: dict[str, Any]
    model: Record
    count: int
    weight: float
    instances: list[Instance] = field(default_factory=list)
    _turn: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def container(self) -> dict[str, Any]:
        return container_of(self.model.request)

    @property
    def multi_model(self) -> bool:
        return is_multi_model(self.container)

    def next_instance(self) -> Instance:
        return self.instances[next(self._turn) % len(self.instances)]

    def summary(self) -> dict[str, Any]:
        image = self.container.get("Image", "")
        return {
            "VariantName": self.name,
            "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": len(self.instances),
            "DesiredInstanceCount": self.count,
        }


def container_of(model: dict[str, Any]) -> dict[str, Any]:
    """The container of a model; a list of one is the same as a primary container."""
    return model.get("PrimaryContainer") or model.get("Containers", [{}])[0]


def start_instance(context: Context, endpoint: str, variant: Variant) -> Instance:
    """A new instance whose container answers pings. Raises ``HostError`` with
    the words of a ``FailureReason``; then nothing is left."""
    number = f"i-{secrets.token_hex(8)}"
    log = ContainerLog(
        path=context.logs / endpoint / f"{variant.name}-{number}.log",
        group=log_group(endpoint),
        stream=f"{variant.name}/{number}",
        logs_client=context.client("logs"),
    )
    folder = context.work / number
    folder.mkdir(parents=True)
    placement = Placement(context=context, model=variant.container, folder=folder, log=log)
    host: Host | None = None
    try:
        host = choose_host(placement)
        host.start()
    except Exception as trouble:
        log.write(f"[sagemaker] the container did not start: {trouble}")
        if host:
            host.stop()
        log.close()
        raise HostError(_failure_reason(variant.name, trouble)) from trouble
    log.write("[sagemaker] the container answers pings")
    return Instance(id=number, host=host, log=log)


def _failure_reason(variant: str, trouble: Exception) -> str:
    """What the endpoint says of it: AWS's words, then the cause, which AWS leaves to the log."""
    if isinstance(trouble, (ModelDataError, ImageError)):
        return str(trouble)
    cause = str(trouble) if isinstance(trouble, HostError) else repr(trouble)
    return (
        f"The primary container for production variant {variant} did not pass the ping health "
        f"check. Please check CloudWatch logs for this endpoint. {cause}"
    )


def log_group(endpoint: str) -> str:
    return f"/aws/sagemaker/Endpoints/{endpoint}"
