"""Two topics that tell how a job ended, and the queue that a notebook reads them from."""

from __future__ import annotations

import json
from dataclasses import dataclass

from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud


@dataclass(frozen=True, kw_only=True)
class Topics:
    """ARNs of the success and the error topic, and the queue that is subscribed to both."""

    success: str
    error: str
    queue_url: str
    queue_arn: str


def create_topics(cloud: Cloud, ledger: Ledger, name: str) -> Topics:
    """Create, or find again, ``<name>-success``, ``<name>-error`` and the queue ``<name>-jobs``."""
    sns = cloud.client("sns")
    arns = {}
    for kind in ("success", "error"):
        full = cloud.name(f"{name}-{kind}")
        arn = f"arn:aws:sns:{cloud.region}:{cloud.account}:{full}"
        with ledger.creating("topic", arn):
            arns[kind] = sns.create_topic(Name=full, Tags=cloud.tags)["TopicArn"]
    queue_url, queue_arn = _create_queue(
        cloud, ledger, cloud.name(f"{name}-jobs"), list(arns.values())
    )
    for arn in arns.values():
        with ledger.creating("subscription", f"{arn} {queue_arn}"):
            sns.subscribe(
                TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True
            )
    return Topics(
        success=arns["success"], error=arns["error"], queue_url=queue_url, queue_arn=queue_arn
    )


def _create_queue(cloud: Cloud, ledger: Ledger, full: str, topics: list[str]) -> tuple[str, str]:
    sqs = cloud.client("sqs")
    arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:{full}"
    allow = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topics}},
            }
        ],
    }
    with ledger.creating("queue", full):
        url = sqs.create_queue(
            QueueName=full,
            Attributes={"Policy": json.dumps(allow)},
            tags={tag["Key"]: tag["Value"] for tag in cloud.tags},
        )["QueueUrl"]
    return url, arn
