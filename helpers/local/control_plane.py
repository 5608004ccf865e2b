"""SageMaker's control plane: models, endpoint configurations, endpoints and their tags; training
jobs have a module of their own.

One method per operation, found by its name; requests arrive validated by ``wire``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from helpers.local.checks import check_async, check_instance, check_model, check_variants
from helpers.local.context import Context
from helpers.local.endpoint import Endpoint, instances_of
from helpers.local.fleet import Variant, container_of
from helpers.local.quotas import Quotas
from helpers.local.store import Record, Records, Shelf, Tags, page
from helpers.local.training_jobs import TrainingJobs
from helpers.local.wire import Call, Refusal, perform

Members = dict[str, Any]


class ControlPlane:
    """The state of one SageMaker account and the operations on it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        journal = context.journal
        self.models = Records("model", self._arn("model"), journal)
        self.configs = Records("endpoint configuration", self._arn("endpoint-config"), journal)
        self.endpoints: Shelf[Endpoint] = Shelf("endpoint", self._arn("endpoint"))
        self.tags = Tags(journal)
        self.quotas = Quotas(context)
        self.training = TrainingJobs(context, self.tags, self.quotas)

    def answer(self, call: Call) -> Members:
        """Do what a control-plane call asks. Raises ``Refusal``."""
        return perform(self.training if "TrainingJob" in call.operation else self, call)

    def revive(self) -> None:
        """Let endpoints and training jobs that the journal knows go on."""
        for kept in self._context.journal.all("endpoint").values():
            models = {name: Record.of_plain(one) for name, one in kept["models"].items()}
            endpoint = Endpoint(
                context=self._context,
                name=kept["name"],
                arn=kept["arn"],
                config=Record.of_plain(kept["config"]),
                build=partial(self._variants, deleted=models),
                status=kept["status"],
                failure=kept["failure"],
                wanted=Record.of_plain(kept["wanted"]) if kept["wanted"] else None,
                created=datetime.fromisoformat(kept["created"]),
                modified=datetime.fromisoformat(kept["modified"]),
            )
            self.endpoints.add(endpoint)
            try:
                endpoint.revive(kept, partial(self._forget, endpoint))
            except Refusal as trouble:  # its model was deleted while it was being created
                endpoint.status, endpoint.failure = "Failed", trouble.message
        self.training.revive()

    def stop(self) -> None:
        for endpoint in self.endpoints.all():
            endpoint.stop()
        self.training.stop()

    def _create_model(self, asked: Members) -> Members:
        name = asked["ModelName"]
        arn = self._context.arn("model", name)
        if self.models.find(name) is None:
            check_model(self._context, asked)
        self.models.add(Record(name=name, arn=arn, request=_without_tags(asked)))
        self.tags.add(arn, asked.get("Tags", []))
        return {"ModelArn": arn}

    def _describe_model(self, asked: Members) -> Members:
        model = self.models.get(asked["ModelName"])
        return {
            **model.request,
            "ModelArn": model.arn,
            "CreationTime": model.created,
            "EnableNetworkIsolation": model.request.get("EnableNetworkIsolation", False),
        }

    def _list_models(self, asked: Members) -> Members:
        found, token = page(self.models.all(), asked)
        return {
            "Models": [
                {"ModelName": m.name, "ModelArn": m.arn, "CreationTime": _epoch(m)} for m in found
            ],
            "NextToken": token,
        }

    def _delete_model(self, asked: Members) -> Members:
        self.tags.drop(self.models.remove(asked["ModelName"]).arn)
        return {}

    def _create_endpoint_config(self, asked: Members) -> Members:
        name = asked["EndpointConfigName"]
        arn = self._context.arn("endpoint-config", name)
        if self.configs.find(name) is None:
            for variant in check_variants(asked):
                check_instance(container_of(self.models.get(variant["ModelName"]).request), variant)
            check_async(asked)
        self.configs.add(Record(name=name, arn=arn, request=_without_tags(asked)))
        self.tags.add(arn, asked.get("Tags", []))
        return {"EndpointConfigArn": arn}

    def _describe_endpoint_config(self, asked: Members) -> Members:
        config = self.configs.get(asked["EndpointConfigName"])
        return {
            **config.request,
            "EndpointConfigArn": config.arn,
            "CreationTime": config.created,
        }

    def _list_endpoint_configs(self, asked: Members) -> Members:
        found, token = page(self.configs.all(), asked)
        return {
            "EndpointConfigs": [
                {
                    "EndpointConfigName": c.name,
                    "EndpointConfigArn": c.arn,
                    "CreationTime": _epoch(c),
                }
                for c in found
            ],
            "NextToken": token,
        }

    def _delete_endpoint_config(self, asked: Members) -> Members:
        self.tags.drop(self.configs.remove(asked["EndpointConfigName"]).arn)
        return {}

    def _create_endpoint(self, asked: Members) -> Members:
        name = asked["EndpointName"]
        endpoint = Endpoint(
            context=self._context,
            name=name,
            arn=self._context.arn("endpoint", name),
            config=self.configs.get(asked["EndpointConfigName"]),
            build=self._variants,
        )
        self._variants(endpoint.config)
        with self.quotas.lock:
            # A name that is taken is refused as such, however full the account is.
            if self.endpoints.find(name) is None:
                self.quotas.check_endpoints(endpoint.instances, self._in_use())
            self.endpoints.add(endpoint)
        try:
            self.tags.add(endpoint.arn, asked.get("Tags", []))
            endpoint.begin()
        except Exception:  # the disk is full: then nothing was made
            self.endpoints.remove(name)
            raise
        return {"EndpointArn": endpoint.arn}

    def _describe_endpoint(self, asked: Members) -> Members:
        endpoint = self.endpoints.get(asked["EndpointName"])
        return {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config.name,
            "ProductionVariants": [v.summary() for v in endpoint.variants] or None,
            "EndpointStatus": endpoint.status,
            "FailureReason": endpoint.failure,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
            "AsyncInferenceConfig": endpoint.asynchronous,
        }

    def _list_endpoints(self, asked: Members) -> Members:
        status = asked.get("StatusEquals")
        found, token = page(
            self.endpoints.all(),
            asked,
            keep=lambda endpoint: status in (None, endpoint.status),
            by={"Status": lambda endpoint: endpoint.status},
        )
        return {
            "Endpoints": [
                {
                    "EndpointName": e.name,
                    "EndpointArn": e.arn,
                    "CreationTime": _epoch(e),
                    "LastModifiedTime": e.modified.timestamp(),
                    "EndpointStatus": e.status,
                }
                for e in found
            ],
            "NextToken": token,
        }

    def _update_endpoint(self, asked: Members) -> Members:
        endpoint = self.endpoints.get(asked["EndpointName"])
        config = self.configs.get(asked["EndpointConfigName"])
        self._variants(config)
        if bool(endpoint.asynchronous) != bool(config.request.get("AsyncInferenceConfig")):
            raise Refusal(
                "ValidationException",
                "An endpoint cannot change between real-time and asynchronous inference.",
            )
        # The new instances come up beside the old ones.
        self.quotas.check_endpoints(instances_of(config, {}), self._in_use())
        endpoint.update(config)
        return {"EndpointArn": endpoint.arn}

    def _update_endpoint_weights_and_capacities(self, asked: Members) -> Members:
        endpoint = self.endpoints.get(asked["EndpointName"])
        wanted = asked["DesiredWeightsAndCapacities"]
        known = {variant.name for variant in endpoint.variants}
        for change in wanted:
            if change["VariantName"] not in known:
                raise Refusal(
                    "ValidationException",
                    f"Variant {change['VariantName']} is not part of {endpoint.name}.",
                )
        check_variants({"ProductionVariants": wanted}, key="DesiredInstanceCount", least=0)
        counts = {
            change["VariantName"]: change["DesiredInstanceCount"]
            for change in wanted
            if "DesiredInstanceCount" in change
        }
        then = instances_of(endpoint.config, {**endpoint.counts, **counts})
        self.quotas.check_endpoints(then - endpoint.instances, self._in_use())
        weights = {c["VariantName"]: c["DesiredWeight"] for c in wanted if "DesiredWeight" in c}
        endpoint.scale(counts, weights)
        return {"EndpointArn": endpoint.arn}

    def _delete_endpoint(self, asked: Members) -> Members:
        endpoint = self.endpoints.get(asked["EndpointName"])
        endpoint.delete(partial(self._forget, endpoint))
        return {}

    def _forget(self, endpoint: Endpoint) -> None:
        self._context.journal.drop("endpoint", endpoint.name)
        self.endpoints.remove(endpoint.name)
        self.tags.drop(endpoint.arn)

    def _list_notebook_instances(self, asked: Members) -> Members:
        """None: the notebooks of this machine are no notebook instances."""
        return {"NotebookInstances": [], "NextToken": None}

    def _add_tags(self, asked: Members) -> Members:
        self._known(asked["ResourceArn"])
        return {"Tags": self.tags.add(asked["ResourceArn"], asked["Tags"])}

    def _list_tags(self, asked: Members) -> Members:
        self._known(asked["ResourceArn"])
        return {"Tags": self.tags.of(asked["ResourceArn"])}

    def _delete_tags(self, asked: Members) -> Members:
        self._known(asked["ResourceArn"])
        self.tags.remove(asked["ResourceArn"], asked["TagKeys"])
        return {}

    def _in_use(self) -> Counter[str]:
        """Instances of all endpoints by type."""
        return sum((endpoint.instances for endpoint in self.endpoints.all()), Counter())

    def _known(self, arn: str) -> None:
        shelves: tuple[Shelf[Any], ...] = (
            self.models,
            self.configs,
            self.endpoints,
            self.training.jobs,
        )
        if not any(item.arn == arn for shelf in shelves for item in shelf.all()):
            raise Refusal("ValidationException", f'Could not find resource "{arn}".')

    def _variants(
        self, config: Record, deleted: Mapping[str, Record] | None = None
    ) -> list[Variant]:
        """``deleted``: models by name that endpoints may still run though they are deleted."""
        return [
            Variant(
                name=asked["VariantName"],
                request=asked,
                model=(deleted or {}).get(asked["ModelName"])
                or self.models.get(asked["ModelName"]),
                count=asked["InitialInstanceCount"],
                weight=asked.get("InitialVariantWeight", 1.0),
            )
            for asked in config.request["ProductionVariants"]
        ]

    def _arn(self, kind: str) -> Callable[[str], str]:
        return lambda name: self._context.arn(kind, name)


def _without_tags(asked: Members) -> Members:
    return {name: value for name, value in asked.items() if name != "Tags"}


def _epoch(item: Any) -> float:
    return item.created.timestamp()
