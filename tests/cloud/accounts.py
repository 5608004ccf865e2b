"""An account with one of each kind of thing in it, and a look at all of it through boto3 alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud
from helpers.cloud.topics import create_topics
from helpers.cloud.training_jobs import TrainingJob, start_training, upload_folder
from tests.local.conftest import model_archive
from tests.local.jobs import run

Client = Callable[[str], Any]
JOB_LOGS = "/aws/sagemaker/TrainingJobs"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def full_account(cloud: Cloud, folder: Path) -> Ledger:
    """One of each kind of thing that the course creates here."""
    ledger = cloud.ledger()
    topics = create_topics(cloud, ledger, "tune")
    made = deploy_async(
        cloud, ledger, name="tune", image=djl_image(cloud.region),
        model_data=model_archive(folder), instance_type="ml.g5.xlarge",
        success_topic=topics.success, error_topic=topics.error,
    )  # fmt: skip
    add_what_later_notebooks_make(cloud, made.endpoint)
    start_job(cloud, ledger, folder, "import time; time.sleep(60)")
    wait_in_service(cloud, made.endpoint)
    run(cloud, made.endpoint, do="echo")
    return ledger


def start_job(cloud: Cloud, ledger: Ledger, folder: Path, script: str, **how: Any) -> TrainingJob:
    """A training job that runs ``script``."""
    code = folder / "job-code"
    code.mkdir(exist_ok=True)
    (code / "train.py").write_text(script)
    prefix = upload_folder(cloud, ledger, code, "models", f"code-{abs(hash(script))}")
    settings = {
        "name": "job",
        "instance_type": "ml.g5.2xlarge",
        "hyperparameters": {},
        "max_runtime_s": 60,
    }
    channels = {"code": prefix}
    return start_training(cloud, ledger, channels=channels, **{**settings, **how})


def add_what_later_notebooks_make(cloud: Cloud, endpoint: str) -> None:
    """Scaling, an alarm, a serving image, a log of a training job and half an upload."""
    add_scaling_and_leftovers(cloud, endpoint)
    repository = cloud.name("triton").replace("--", "-")
    cloud.client("ecr").create_repository(repositoryName=repository, tags=cloud.tags)
    cloud.client("codebuild").create_project(
        name=cloud.name("image"), source={"type": "S3", "location": f"{cloud.bucket}/context.zip"},
        artifacts={"type": "NO_ARTIFACTS"}, serviceRole=cloud.role_arn,
        environment={
            "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL", "privilegedMode": True,
        },
        tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in cloud.tags],
    )  # fmt: skip


def add_scaling_and_leftovers(cloud: Cloud, endpoint: str) -> None:
    """Scaling of an endpoint, an alarm, a log of a training job and half an upload."""
    scaled: dict[str, Any] = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": DIMENSION,
    }
    scaling = cloud.client("application-autoscaling")
    scaling.register_scalable_target(**scaled, MinCapacity=0, MaxCapacity=2)
    scaling.put_scaling_policy(
        **scaled, PolicyName="wake up", PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )  # fmt: skip
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=cloud.name("backlog"), ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1, MetricName="HasBacklogWithoutCapacity", Namespace="AWS/SageMaker",
        Period=60, Statistic="Average", Threshold=1, Tags=cloud.tags,
    )  # fmt: skip
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName=JOB_LOGS)
    logs.create_log_stream(logGroupName=JOB_LOGS, logStreamName=f"{cloud.name('job')}/algo-1")
    key = f"{cloud.prefix}/requests/half.tar.gz"
    cloud.client("s3").create_multipart_upload(Bucket=cloud.bucket, Key=key)


def what_is_left(client: Client) -> dict[str, list[Any]]:
    """Every listing of the account that is not empty; ``client(name)`` gives a boto3 client."""
    return {kind: items for kind, listing in LISTINGS.items() if (items := listing(client))}


def _lists(service: str, operation: str, key: str, **asked: Any) -> Callable[[Client], list[Any]]:
    return lambda client: _all(client(service), operation, key, **asked)


def _in_buckets(operation: str, *keys: str) -> Callable[[Client], list[Any]]:
    return lambda client: [
        item
        for bucket in _buckets(client)
        for key in keys
        for item in _all(client("s3"), operation, key, Bucket=bucket)
    ]


def _buckets(client: Client) -> list[str]:
    return [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]]


def _groups(client: Client) -> list[str]:
    found = _all(client("logs"), "describe_log_groups", "logGroups")
    return [group["logGroupName"] for group in found]


def _streams(client: Client) -> list[str]:
    return [
        f"{group} {stream['logStreamName']}"
        for group in _groups(client)
        for stream in _all(client("logs"), "describe_log_streams", "logStreams", logGroupName=group)
    ]


_SCALING, _SAGEMAKER = "application-autoscaling", {"ServiceNamespace": "sagemaker"}
LISTINGS: dict[str, Callable[[Client], list[Any]]] = {
    "endpoints": _lists("sagemaker", "list_endpoints", "Endpoints"),
    "configurations": _lists("sagemaker", "list_endpoint_configs", "EndpointConfigs"),
    "models": _lists("sagemaker", "list_models", "Models"),
    "training jobs": _lists("sagemaker", "list_training_jobs", "TrainingJobSummaries"),
    "scaling targets": _lists(
        _SCALING, "describe_scalable_targets", "ScalableTargets", **_SAGEMAKER
    ),
    "scaling policies": _lists(
        _SCALING, "describe_scaling_policies", "ScalingPolicies", **_SAGEMAKER
    ),
    "alarms": _lists("cloudwatch", "describe_alarms", "MetricAlarms"),
    "topics": _lists("sns", "list_topics", "Topics"),
    "subscriptions": _lists("sns", "list_subscriptions", "Subscriptions"),
    "queues": _lists("sqs", "list_queues", "QueueUrls"),
    "repositories": _lists("ecr", "describe_repositories", "repositories"),
    "projects": _lists("codebuild", "list_projects", "projects"),
    # All the training jobs of an account share one group, which stays.
    "log groups": lambda client: [name for name in _groups(client) if name != JOB_LOGS],
    "log streams": _streams,
    "objects": _in_buckets("list_object_versions", "Versions", "DeleteMarkers"),
    "uploads": _in_buckets("list_multipart_uploads", "Uploads"),
    "buckets": _buckets,
    "tags": _lists("resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList"),
}
"""What the account's own listings show, by boto3 alone."""


def wipe(client: Client) -> None:
    """Remove whatever is in the account, by boto3 alone: a test that fails must not fail others."""
    sagemaker, s3, sns = client("sagemaker"), client("s3"), client("sns")
    there = what_is_left(client)
    for item in there.get("endpoints", []):
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            try:
                sagemaker.delete_endpoint(EndpointName=item["EndpointName"])
            except sagemaker.exceptions.ClientError as trouble:
                if "Could not find" in str(trouble):
                    break
            time.sleep(0.05)
    for item in there.get("configurations", []):
        sagemaker.delete_endpoint_config(EndpointConfigName=item["EndpointConfigName"])
    for item in there.get("models", []):
        sagemaker.delete_model(ModelName=item["ModelName"])
    scaling, place = client("application-autoscaling"), ("ServiceNamespace", "ResourceId")
    for item in there.get("scaling policies", []):
        keys = (*place, "ScalableDimension", "PolicyName")
        scaling.delete_scaling_policy(**{key: item[key] for key in keys})
    for item in there.get("scaling targets", []):
        keys = (*place, "ScalableDimension")
        scaling.deregister_scalable_target(**{key: item[key] for key in keys})
    for item in there.get("alarms", []):
        client("cloudwatch").delete_alarms(AlarmNames=[item["AlarmName"]])
    for item in there.get("topics", []):
        sns.delete_topic(TopicArn=item["TopicArn"])
    for url in there.get("queues", []):
        client("sqs").delete_queue(QueueUrl=url)
    for item in there.get("repositories", []):
        client("ecr").delete_repository(repositoryName=item["repositoryName"], force=True)
    for name in there.get("projects", []):
        client("codebuild").delete_project(name=name)
    for group in client("logs").describe_log_groups()["logGroups"]:
        client("logs").delete_log_group(logGroupName=group["logGroupName"])
    for bucket in there.get("buckets", []):
        for upload in _all(s3, "list_multipart_uploads", "Uploads", Bucket=bucket):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for key in ("Versions", "DeleteMarkers"):
            for item in _all(s3, "list_object_versions", key, Bucket=bucket):
                s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
        s3.delete_bucket(Bucket=bucket)


def _all(client: Any, operation: str, key: str, **asked: Any) -> list[Any]:
    pages: Iterable[dict[str, Any]] = client.get_paginator(operation).paginate(**asked)
    return [item for page in pages for item in page.get(key, [])]
