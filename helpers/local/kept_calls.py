"""What moto was told to make, kept as it was said and said again when the service starts.

moto holds buckets, topics, queues, scaling policies, alarms and repositories in memory. Each call
that makes or changes one is kept; a call that deletes it strikes that out, so nothing adds up.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from botocore.parsers import RpcV2CBORParser
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from helpers.local.context import ACCOUNT
from helpers.local.journal import Journal

Environ = dict[str, Any]
Wsgi = Callable[..., Iterable[bytes]]
KIND = "call"
_SCALING, _ALARMS = "application-autoscaling", "monitoring"
_MAKES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("sns", "CreateTopic"): ("Name",),
    ("sns", "SetTopicAttributes"): ("TopicArn", "AttributeName"),
    ("sns", "Subscribe"): ("TopicArn", "Protocol", "Endpoint"),
    ("sqs", "CreateQueue"): ("QueueName",),
    ("sqs", "SetQueueAttributes"): ("QueueUrl",),
    (_SCALING, "RegisterScalableTarget"): ("ResourceId", "ScalableDimension"),
    (_SCALING, "PutScalingPolicy"): ("ResourceId", "PolicyName"),
    (_ALARMS, "PutMetricAlarm"): ("AlarmName",),
    ("ecr", "CreateRepository"): ("repositoryName",),
    ("ecr", "PutImage"): ("repositoryName", "imageTag"),
}
"""Calls that are kept: the parameter that names the resource, then those that tell several of its
calls apart. The last one with the same names counts."""
_STRIKES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("sns", "DeleteTopic"): ("TopicArn",),
    ("sqs", "DeleteQueue"): ("QueueUrl",),
    (_SCALING, "DeregisterScalableTarget"): ("ResourceId", "ScalableDimension"),
    (_SCALING, "DeleteScalingPolicy"): ("ResourceId", "PolicyName"),
    (_ALARMS, "DeleteAlarms"): ("AlarmNames",),
    ("ecr", "DeleteRepository"): ("repositoryName",),
}
_UNDOES = {
    "DeregisterScalableTarget": "RegisterScalableTarget",
    "DeleteScalingPolicy": "PutScalingPolicy",
}
"""Strikes one call of a resource and not the resource."""
SERVICES = {service for service, _ in _MAKES}
SCALING = {_SCALING, _ALARMS}
"""Where what scales endpoints is kept."""
_MADE = re.compile(r'<SubscriptionArn>(arn:[^<]+)<|"PolicyARN": ?"(arn:[^"]+)"')
"""Names that moto draws at random: they have to be the same ones again."""


def read_call(environ: Environ, body: bytes) -> tuple[str, dict[str, Any]]:
    """The operation and the parameters of a call, in whichever of AWS's protocols it came."""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return target.rpartition(".")[2], json.loads(body or b"{}")
    if "/operation/" in environ["PATH_INFO"]:
        parser: Any = RpcV2CBORParser()
        stream = parser.get_peekable_stream_from_bytes(body)
        return environ["PATH_INFO"].rpartition("/")[2], parser.parse_data_item(stream)
    form = dict(parse_qsl(body.decode()))
    return form.pop("Action", ""), form


class KeptCalls:
    """The kept calls of one journal. ``told`` counts, by service, the calls that may have changed
    something, those that were said again included."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.told: Counter[str] = Counter()

    def heard(
        self, service: str, environ: Environ, body: bytes, answer: Response | None = None
    ) -> None:
        """A call was served: keep it, strike out what it deletes, or neither."""
        self.told[service] += 1
        operation, parameters = read_call(environ, body)
        if operation == "Unsubscribe":
            self._strike(lambda name, call: call["made"] == parameters["SubscriptionArn"])
        elif fields := _STRIKES.get((service, operation)):
            values = [parameters[field] for field in fields]
            if operation in _UNDOES:
                self._journal.drop(KIND, _name(service, _UNDOES[operation], values))
            for one in values[0] if isinstance(values[0], list) else values[:1]:
                if operation not in _UNDOES:
                    self._strike_resource(service, one)
        elif fields := _MAKES.get((service, operation)):
            values = [parameters.get(field, "") for field in fields]
            text = answer.get_data(as_text=True) if answer else ""
            made = next((a or b for a, b in _MADE.findall(text)), "")
            self._keep(_name(service, operation, values), environ, body, made)

    def heard_bucket(self, bucket: str, environ: Environ, body: bytes) -> None:
        """The same for S3's calls about a bucket itself: what they change is in the query."""
        query = environ["QUERY_STRING"]
        if environ["REQUEST_METHOD"] == "PUT":
            self._keep(_name("s3", query, [bucket]), environ, body, "")
        elif query:
            self._journal.drop(KIND, _name("s3", query, [bucket]))
        else:
            self._strike_resource("s3", bucket)

    def say_again(self, url: str, access_key: str, region: str, app: Callable[..., Wsgi]) -> None:
        """Tell moto everything again; ``app`` is what answers calls of a service."""
        for name, call in self._journal.all(KIND).items():
            service = name.partition("|")[0]
            self.told[service] += 1
            scope = f"{access_key}/20260101/{region}/{service}/aws4_request"
            environ = EnvironBuilder(
                base_url=url,
                path=call["path"],
                method=call["method"],
                query_string=call["query"],
                data=call["body"].encode("latin-1"),
                headers=[
                    *call["headers"].items(),
                    ("Authorization", f"AWS4-HMAC-SHA256 Credential={scope}, Signature=none"),
                ],
            ).get_environ()
            answer = Response.from_app(app(environ), environ)
            if answer.status_code >= 300:
                print(f"{name} could not be made again: {answer.get_data(as_text=True)[:300]}")
                self._journal.drop(KIND, name)
            elif call["made"]:
                _rename(region, answer.get_data(as_text=True), call["made"])

    def _keep(self, name: str, environ: Environ, body: bytes, made: str) -> None:
        wanted = ("CONTENT_TYPE", "HTTP_X_AMZ_TARGET", "HTTP_SMITHY_PROTOCOL")
        headers = {
            field.removeprefix("HTTP_").replace("_", "-"): environ[field]
            for field in wanted
            if environ.get(field)
        }
        self._journal.save(
            KIND,
            name,
            {
                "method": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"].encode("latin-1").decode(),
                "query": environ["QUERY_STRING"],
                "headers": headers,
                "body": body.decode("latin-1"),
                "made": made,
            },
        )

    def _strike_resource(self, service: str, resource: str) -> None:
        prefix = f"{service}|{_short(service, resource)}|"
        self._strike(lambda name, call: name.startswith(prefix))

    def _strike(self, gone: Callable[[str, dict[str, Any]], bool]) -> None:
        for name, call in self._journal.all(KIND).items():
            if gone(name, call):
                self._journal.drop(KIND, name)


def _name(service: str, operation: str, values: Iterable[str]) -> str:
    resource, *others = values
    return "|".join((service, _short(service, resource), operation, *others))


def _short(service: str, resource: str) -> str:
    """A topic by its name or ARN, a queue by its name or address, everything else by its name."""
    if service == "sns":
        return resource.rpartition(":")[2]
    return resource.rpartition("/")[2] if service == "sqs" else resource


def _rename(region: str, answer: str, made: str) -> None:
    """Give what was made again the name that it had."""
    from moto.applicationautoscaling.models import applicationautoscaling_backends
    from moto.sns.models import sns_backends

    fresh = next((a or b for a, b in _MADE.findall(answer)), "")
    subscriptions = sns_backends[ACCOUNT][region].subscriptions
    if found := subscriptions.pop(fresh, None):
        found.arn = made
        subscriptions[made] = found
    for policy in applicationautoscaling_backends[ACCOUNT][region].policies.values():
        if policy.policy_arn == fresh:
            policy.policy_arn = made
