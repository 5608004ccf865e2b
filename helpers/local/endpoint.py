"""An endpoint and its states: Creating, InService, Updating, Deleting, Failed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from helpers.local.async_queue import AsyncQueue
from helpers.local.context import Context
from helpers.local.fleet import Instance, Variant, start_instance
from helpers.local.hosts import HostError
from helpers.local.store import Record, now
from helpers.local.wire import Refusal

MOST_WORDS = 1024
BUSY = {"Creating", "Updating", "Deleting", "SystemUpdating", "RollingBack"}


@dataclass(kw_only=True)
class Endpoint:
    """An endpoint as ``DescribeEndpoint`` shows it, with the instances behind it.

    Each change runs in a thread of its own and ends in a state that says how it went. ``build``
    makes the variants that a configuration asks for, without instances.

    ``wanted`` is the configuration that an update leads to. The journal knows how far a change
    came; a service that starts takes up from there with ``revive``.
    """

    context: Context
    name: str
    arn: str
    config: Record
    build: Callable[[Record], list[Variant]]
    status: str = "Creating"
    failure: str | None = None
    wanted: Record | None = None
    variants: list[Variant] = field(default_factory=list)
    queue: AsyncQueue | None = None
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def asynchronous(self) -> dict[str, Any] | None:
        return self.config.request.get("AsyncInferenceConfig")

    @property
    def serves(self) -> bool:
        """Whether it takes invocations now: also while it is updated."""
        return self.status in ("InService", "Updating") and bool(self.variants)

    @property
    def counts(self) -> dict[str, int]:
        """How many instances each variant shall have; empty while none is up yet."""
        return {variant.name: variant.count for variant in self.variants}

    @property
    def instances(self) -> Counter[str]:
        """Instances by type, those that are coming up included; none once it failed."""
        return Counter() if self.status == "Failed" else instances_of(self.config, self.counts)

    def begin(self) -> None:
        """Start the instances of a new endpoint."""
        variants = self.build(self.config)
        self._keep()
        self._in_thread(self._create, variants)

    def revive(self, kept: dict[str, Any], gone: Callable[[], None]) -> None:
        """Go on after the service has ended: with the instances that it had, which start again,
        and with its queue; it takes requests meanwhile. Then the update goes on, if there was
        one; or the deletion, which ends in ``gone``."""
        if self.status in ("Creating", "Failed"):
            if self.status == "Creating":
                self.begin()
            return
        self.variants = self.build(self.config)
        for variant in self.variants:
            variant.count = kept["counts"].get(variant.name, variant.count)
            variant.weight = kept["weights"].get(variant.name, variant.weight)
        tell = None
        if self.asynchronous:
            self.queue = AsyncQueue(self.context, lambda: self.asynchronous or {})
            tell = self.queue.take_up(self.name)
        if self.status != "Deleting":
            self.status = "Updating"
        self._in_thread(self._revive, tell, gone)

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        config = self.config.plain()
        return {
            "name": self.name, "arn": self.arn, "config": config, "status": self.status,
            "failure": self.failure, "wanted": self.wanted.plain() if self.wanted else None,
            "created": self.created.isoformat(), "modified": self.modified.isoformat(),
            "counts": self.counts, "weights": {one.name: one.weight for one in self.variants},
            "models": {one.model.name: one.model.plain() for one in self.variants},
        }  # fmt: skip

    def update(self, config: Record) -> None:
        """Replace the instances by those of another configuration, once those are up."""
        self._change("Updating", config)
        self._in_thread(self._replace, config)

    def scale(self, counts: dict[str, int], weights: dict[str, float]) -> None:
        """Change instance counts and weights of variants by name."""
        self._change("Updating")
        self._in_thread(self._rescale, counts, weights)

    def delete(self, gone: Callable[[], None]) -> None:
        """Stop everything, then call ``gone``."""
        self._change("Deleting")
        self._in_thread(self._remove, gone)

    def stop(self) -> None:
        """End the containers at once: the service is ending."""
        if self.queue:
            self.queue.halt()
        self._end_containers()

    def _create(self, variants: list[Variant]) -> None:
        try:
            self._start_instances(variants)
        except HostError as trouble:
            return self._settle("Failed", str(trouble)[:MOST_WORDS])
        self._take_over(variants)
        self._settle("InService")

    def _revive(self, tell: Callable[[], None] | None, gone: Callable[[], None]) -> None:
        if tell:
            tell()
        if self.status == "Deleting":
            return self._remove(gone)
        try:
            self._start_instances(self.variants, self._feed)
        except HostError as trouble:
            return self._settle("Failed", str(trouble)[:MOST_WORDS])
        if self.wanted:
            return self._replace(self.wanted)
        self._settle("InService", self.failure)

    def _replace(self, config: Record) -> None:
        old = self.variants
        try:
            variants = self.build(config)
            self._start_instances(variants)
        except (HostError, Refusal) as trouble:
            return self._settle("InService", str(trouble)[:MOST_WORDS])
        self.config = config
        self._take_over(variants)
        for variant in old:
            self._retire(variant.instances)
        self._settle("InService")

    def _rescale(self, counts: dict[str, int], weights: dict[str, float]) -> None:
        failure = None
        for variant in self.variants:
            variant.weight = weights.get(variant.name, variant.weight)
            variant.count = counts.get(variant.name, variant.count)
        self._keep()
        for variant in self.variants:
            surplus = variant.instances[variant.count :]
            del variant.instances[variant.count :]
            self._retire(surplus)
            try:
                while len(variant.instances) < variant.count:
                    self._add_instance(variant)
            except HostError as trouble:
                variant.count, failure = len(variant.instances), str(trouble)[:MOST_WORDS]
        self._settle("InService", failure)

    def _add_instance(self, variant: Variant) -> None:
        """One more instance, which takes a while, as the first ones did."""
        began = time.monotonic()
        instance = start_instance(self.context, self.name, variant)
        time.sleep(max(self.context.settle - (time.monotonic() - began), 0))
        variant.instances.append(instance)
        self._feed(instance)

    def _remove(self, gone: Callable[[], None]) -> None:
        if self.queue:
            self.queue.close()
        self._end_containers()
        if self.queue:
            self.queue.drained(30)
        time.sleep(self.context.settle)
        gone()

    def _end_containers(self) -> None:
        for variant in self.variants:
            _stop_all(variant.instances)

    def _start_instances(
        self, variants: list[Variant], ready: Callable[[Instance], None] = lambda _: None
    ) -> None:
        began = time.monotonic()
        try:
            for variant in variants:
                while len(variant.instances) < variant.count:
                    variant.instances.append(start_instance(self.context, self.name, variant))
                    ready(variant.instances[-1])
        except HostError:
            for variant in variants:
                _stop_all(variant.instances)
            raise
        time.sleep(max(self.context.settle - (time.monotonic() - began), 0))

    def _take_over(self, variants: list[Variant]) -> None:
        if self.asynchronous and self.queue is None:
            self.queue = AsyncQueue(self.context, lambda: self.asynchronous or {})
        self.variants = variants
        for variant in variants:
            for instance in variant.instances:
                self._feed(instance)

    def _feed(self, instance: Instance) -> None:
        if self.queue and self.asynchronous:
            self.queue.serve(instance)

    def _retire(self, instances: list[Instance]) -> None:
        """Let running work end, an hour at most, as an asynchronous invocation may take."""
        for instance in instances:
            if self.queue:
                self.queue.retire(instance, wait_s=3600)
            instance.stop()

    def _change(self, status: str, wanted: Record | None = None) -> None:
        with self._lock:
            if self.status in BUSY:
                raise Refusal(
                    "ValidationException", f'Cannot update in-progress endpoint "{self.arn}".'
                )
            if status == "Updating" and self.status == "Failed":
                raise Refusal("ValidationException", f'Cannot update failed endpoint "{self.arn}".')
            before = self.status, self.modified, self.wanted
            self.status, self.modified, self.wanted = status, now(), wanted
            try:
                self._keep()
            except Exception:  # the disk is full: then nothing changes
                self.status, self.modified, self.wanted = before
                raise

    def _settle(self, status: str, failure: str | None = None) -> None:
        with self._lock:
            self.status, self.failure, self.modified = status, failure, now()
            self.wanted = None
            self._keep()

    def _keep(self) -> None:
        self.context.journal.save("endpoint", self.name, self.plain())

    def _in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            try:
                work(*arguments)
            except Exception as trouble:
                print(f"{self.name}: {trouble!r}", flush=True)
                self._settle("Failed", f"InternalServerError: {trouble}")

        threading.Thread(target=run, name=f"endpoint {self.name}", daemon=True).start()


def instances_of(config: Record, counts: Mapping[str, int]) -> Counter[str]:
    """Instances by type: ``counts`` of its variants, or as many as the configuration asks for."""
    found: Counter[str] = Counter()
    for variant in config.request["ProductionVariants"]:
        asked: int = variant["InitialInstanceCount"]
        found[variant["InstanceType"]] += counts.get(variant["VariantName"], asked)
    return found


def _stop_all(instances: list[Instance]) -> None:
    for instance in instances:
        instance.stop()
