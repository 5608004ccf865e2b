"""Topics, subscriptions, queues, alarms and logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from helpers.cloud.kinds import Kind, pages, starts_ours
from helpers.cloud.session import Cloud

ENDPOINT_LOGS = "/aws/sagemaker/Endpoints/"
_JOB_LOGS = "/aws/sagemaker/TrainingJobs"
_LOGS = (ENDPOINT_LOGS, "/aws/codebuild/")


def _topics(cloud: Cloud) -> Iterator[str]:
    for item in pages(cloud, "sns", "list_topics", "Topics"):
        if starts_ours(cloud, item["TopicArn"].rpartition(":")[2]):
            yield item["TopicArn"]


def _has_topic(cloud: Cloud, arn: str) -> bool:
    cloud.client("sns").get_topic_attributes(TopicArn=arn)
    return True


def _remove_topic(cloud: Cloud, arn: str) -> None:
    """With its subscriptions, which need not be in any ledger."""
    sns = cloud.client("sns")
    for item in list(_confirmed(cloud, arn)):
        sns.unsubscribe(SubscriptionArn=item["SubscriptionArn"])
    sns.delete_topic(TopicArn=arn)


def _confirmed(cloud: Cloud, topic: str) -> Iterator[dict[str, Any]]:
    """A subscription that nobody has confirmed has no ARN, and ends with its topic."""
    found = pages(cloud, "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic)
    return (item for item in found if item["SubscriptionArn"].startswith("arn:"))


def _subscriptions(cloud: Cloud) -> Iterator[str]:
    for item in pages(cloud, "sns", "list_subscriptions", "Subscriptions"):
        ours = starts_ours(cloud, item["TopicArn"].rpartition(":")[2])
        if ours and item["SubscriptionArn"].startswith("arn:"):
            yield f"{item['TopicArn']} {item['Endpoint']}"


def _same(cloud: Cloud, name: str) -> list[str]:
    """ARNs of the subscriptions of that topic and listener, also where the topic is gone."""
    topic, _, listener = name.partition(" ")
    return [
        item["SubscriptionArn"]
        for item in pages(cloud, "sns", "list_subscriptions", "Subscriptions")
        if (item["TopicArn"], item["Endpoint"]) == (topic, listener)
        and item["SubscriptionArn"].startswith("arn:")
    ]


def _unsubscribe(cloud: Cloud, name: str) -> None:
    for arn in _same(cloud, name):
        cloud.client("sns").unsubscribe(SubscriptionArn=arn)


def _queues(cloud: Cloud) -> Iterator[str]:
    # Without a page size SQS ends its list after a thousand queues, without a word.
    found = pages(
        cloud, "sqs", "list_queues", "QueueUrls",
        QueueNamePrefix=cloud.name_prefix, PaginationConfig={"PageSize": 1000},
    )  # fmt: skip
    return (url.rpartition("/")[2] for url in found)


def _has_queue(cloud: Cloud, name: str) -> bool:
    cloud.client("sqs").get_queue_url(QueueName=name)
    return True


def _remove_queue(cloud: Cloud, name: str) -> None:
    sqs = cloud.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])


def _alarms(cloud: Cloud) -> Iterator[str]:
    for item in pages(
        cloud, "cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=cloud.name_prefix
    ):
        yield item["AlarmName"]


def _has_alarm(cloud: Cloud, name: str) -> bool:
    return bool(cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"])


def _remove_alarm(cloud: Cloud, name: str) -> None:
    cloud.client("cloudwatch").delete_alarms(AlarmNames=[name])


def _log_groups(cloud: Cloud, prefix: str = "") -> Iterator[str]:
    for start in [prefix] if prefix else [f"{place}{cloud.name_prefix}" for place in _LOGS]:
        for item in pages(
            cloud, "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=start
        ):
            yield item["logGroupName"]


def _has_log_group(cloud: Cloud, name: str) -> bool:
    return name in _log_groups(cloud, name)


def _remove_log_group(cloud: Cloud, name: str) -> None:
    cloud.client("logs").delete_log_group(logGroupName=name)


def _log_streams(cloud: Cloud, prefix: str = "") -> Iterator[str]:
    """All training jobs of an account write into one group, each into streams of its own."""
    for item in pages(
        cloud, "logs", "describe_log_streams", "logStreams",
        logGroupName=_JOB_LOGS, logStreamNamePrefix=prefix or cloud.name_prefix,
    ):  # fmt: skip
        yield item["logStreamName"]


def _has_log_stream(cloud: Cloud, name: str) -> bool:
    return name in _log_streams(cloud, name)


def _remove_log_stream(cloud: Cloud, name: str) -> None:
    cloud.client("logs").delete_log_stream(logGroupName=_JOB_LOGS, logStreamName=name)


MESSAGES: dict[str, Kind] = {
    "alarm": Kind(find=_alarms, exists=_has_alarm, remove=_remove_alarm),
    "subscription": Kind(
        find=_subscriptions,
        exists=lambda cloud, name: bool(_same(cloud, name)),
        remove=_unsubscribe,
    ),
    "topic": Kind(find=_topics, exists=_has_topic, remove=_remove_topic),
    "queue": Kind(find=_queues, exists=_has_queue, remove=_remove_queue),
}
"""Topics go by ARN, subscriptions by ``topic-arn listener``."""

LOGS: dict[str, Kind] = {
    # Containers write until they end, and would make their group again.
    "log-group": Kind(
        find=_log_groups,
        exists=_has_log_group,
        remove=_remove_log_group,
        after=("endpoint", "build-project"),
    ),
    "log-stream": Kind(
        find=_log_streams,
        exists=_has_log_stream,
        remove=_remove_log_stream,
        after=("training-job",),
    ),
}
