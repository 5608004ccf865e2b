"""Training jobs of the local SageMaker: a real process, AWS's states and AWS's refusals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.archives import read_members
from helpers.cloud.images import training_image
from helpers.cloud.session import Cloud
from helpers.local.spot import interrupt
from helpers.s3 import split_uri

SCRIPT = Path(__file__).with_name("training_script.py")
_numbers = count(1)
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask(cloud: Cloud) -> Ask:
    """A request for a job that does what ``do`` says; keywords replace its members."""
    code = cloud.upload(SCRIPT, "training-tests", "code", "train.py").removesuffix("train.py")

    def request(do: str, told: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": code}
        channel = {"ChannelName": "code", "DataSource": {"S3DataSource": source}}
        return {
            "TrainingJobName": cloud.name(f"train-{next(_numbers)}"),
            "AlgorithmSpecification": {
                "TrainingImage": training_image(cloud.region),
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/train.py"],
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss: ([0-9.]+)"}],
            },
            "HyperParameters": {"do": do, **(told or {})},
            "InputDataConfig": [channel],
            "OutputDataConfig": {"S3OutputPath": cloud.uri("training-tests", "out")},
            "ResourceConfig": {
                "InstanceType": "ml.g5.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30,
            },
            "RoleArn": cloud.role_arn,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }  # fmt: skip

    return request


def create(cloud: Cloud, request: dict[str, Any]) -> str:
    cloud.client("sagemaker").create_training_job(**request)
    return request["TrainingJobName"]


def ended(cloud: Cloud, name: str, limit_s: float = 40) -> dict[str, Any]:
    """The job's description once it has ended."""
    return until(cloud, name, lambda found: found["TrainingJobStatus"] in
                 ("Completed", "Failed", "Stopped"), limit_s)  # fmt: skip


def until(
    cloud: Cloud, name: str, holds: Callable[[dict[str, Any]], bool], limit_s: float = 40
) -> dict[str, Any]:
    ends = time.monotonic() + limit_s
    while True:
        found = cloud.client("sagemaker").describe_training_job(TrainingJobName=name)
        if holds(found):
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.05)


def result(cloud: Cloud, found: dict[str, Any]) -> dict[str, Any]:
    bucket, key = split_uri(found["ModelArtifacts"]["S3ModelArtifacts"])
    body = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return json.loads(read_members(body)["model.json"])


def log_of(cloud: Cloud, name: str) -> list[str]:
    logs, group = cloud.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")
    (stream,) = streams["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
    return [event["message"] for event in events["events"]]


def states(found: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in found["SecondaryStatusTransitions"]]


def test_a_job_finds_its_channels_and_variables_and_leaves_a_model_a_metric_and_a_log(
    cloud: Cloud, ask: Ask
) -> None:
    cloud.upload(SCRIPT, "training-tests", "dogs", "one.py")
    cloud.upload(SCRIPT, "training-tests", "dogs", "deep", "two.py")
    cloud.upload(SCRIPT, "training-tests", "dogs_old", "three.py")
    request = ask("look")
    for name, uri in (("exact", "dogs/"), ("loose", "dogs")):
        source = {"S3DataType": "S3Prefix", "S3Uri": cloud.uri("training-tests", uri)}
        request["InputDataConfig"].append(
            {"ChannelName": name, "DataSource": {"S3DataSource": source}}
        )
    name = create(cloud, request)
    found = ended(cloud, name)
    assert found["TrainingJobStatus"] == "Completed", found
    assert states(found) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in one for one in found["SecondaryStatusTransitions"])
    assert found["SecondaryStatus"] == "Completed"
    assert found["CreationTime"] <= found["TrainingStartTime"] <= found["TrainingEndTime"]
    assert found["HyperParameters"] == {"do": "look"}
    seen = result(cloud, found)
    assert seen["channels"]["exact"] == ["deep/two.py", "one.py"]
    assert "_old/three.py" in seen["channels"]["loose"], "without the slash neighbours come along"
    variables = seen["variables"]
    assert json.loads(variables["SM_HPS"]) == {"do": "look"}
    assert variables["SM_CHANNEL_EXACT"].endswith("/input/data/exact")
    assert variables["AWS_ENDPOINT_URL"], "a job reaches S3 as its role would"
    assert seen["resources"]["current_instance_type"] == "ml.g5.2xlarge"
    assert [(one["MetricName"], one["Value"]) for one in found["FinalMetricDataList"]] == [
        ("loss", 1.5)
    ]
    assert "loss: 1.5" in log_of(cloud, name)
    bucket, key = split_uri(found["ModelArtifacts"]["S3ModelArtifacts"])
    assert key.endswith(f"/out/{name}/output/model.tar.gz")
    other = key.replace("model.tar.gz", "output.tar.gz")
    data = cloud.client("s3").get_object(Bucket=bucket, Key=other)["Body"].read()
    assert read_members(data) == {"seen.txt": b"seen"}


@pytest.mark.promise(
    "A failed training job leaves no model",
    fault="a script that raises",
    outcome="`Failed` with the script's words; no artefact",
)
def test_a_failure_is_told_in_the_script_s_own_words_and_publishes_nothing(
    cloud: Cloud, ask: Ask
) -> None:
    found = ended(cloud, create(cloud, ask("fail")))
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Failed", "Failed")
    assert found["FailureReason"] == "AlgorithmError: the photos are blurred, exit code: 3"
    assert "ModelArtifacts" not in found


def test_a_stopped_job_may_tidy_up_and_its_model_is_kept(cloud: Cloud, ask: Ask) -> None:
    sagemaker = cloud.client("sagemaker")
    name = create(cloud, ask("wait"))
    until(cloud, name, lambda found: found["SecondaryStatus"] == "Training")
    with pytest.raises(ClientError, match="stop it first") as refused:
        sagemaker.delete_training_job(TrainingJobName=name)
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    listed = sagemaker.list_training_jobs(StatusEquals="InProgress", NameContains=name)
    assert [one["TrainingJobName"] for one in listed["TrainingJobSummaries"]] == [name]
    ends = time.monotonic() + 20
    while "waiting" not in log_of(cloud, name) and time.monotonic() < ends:
        time.sleep(0.05)
    sagemaker.stop_training_job(TrainingJobName=name)
    found = ended(cloud, name)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert result(cloud, found) == {"stopped": True}, "SIGTERM came first"
    with pytest.raises(ClientError, match="in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName=name)
    sagemaker.delete_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="not found"):
        sagemaker.describe_training_job(TrainingJobName=name)


@pytest.mark.promise(
    "A training job ends when its time is over",
    fault="a script that never ends",
    outcome="stopped as `MaxRuntimeExceeded`",
)
def test_a_job_whose_time_is_over_is_stopped(cloud: Cloud, ask: Ask) -> None:
    limits = {"MaxRuntimeInSeconds": 1}
    found = ended(cloud, create(cloud, ask("wait", StoppingCondition=limits)))
    assert found["TrainingJobStatus"] == "Stopped"
    assert found["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert found["TrainingTimeInSeconds"] <= 5


@pytest.mark.promise(
    "A Spot interruption costs minutes, not the job",
    fault="an instance taken away in the middle",
    outcome="the job goes on from its checkpoint and completes",
)
def test_an_interrupted_spot_job_goes_on_from_its_checkpoint(cloud: Cloud, ask: Ask) -> None:
    kept = cloud.uri("training-tests", "checkpoints", "count")
    name = create(
        cloud,
        ask(
            "count",
            EnableManagedSpotTraining=True,
            CheckpointConfig={"S3Uri": kept},
            StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
        ),
    )
    bucket, key = split_uri(f"{kept}/count.txt")
    ends = time.monotonic() + 30
    while not cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix=key).get("Contents"):
        assert time.monotonic() < ends
        time.sleep(0.05)
    interrupt(cloud, name)
    found = ended(cloud, name)
    assert found["TrainingJobStatus"] == "Completed"
    assert states(found) == [
        "Starting", "Downloading", "Training", "Interrupted", "Starting", "Downloading",
        "Training", "Uploading", "Completed",
    ]  # fmt: skip
    told = result(cloud, found)
    assert told["counted"] == 30 and 0 < told["began"] < 30, "not from the beginning"


@pytest.mark.promise(
    "An isolated job reaches nobody",
    fault="a script that connects to the service",
    outcome="no connection",
)
def test_network_isolation_leaves_no_network_and_no_credentials(cloud: Cloud, ask: Ask) -> None:
    port = {"port": cloud.client("s3").meta.endpoint_url.rpartition(":")[2]}
    for isolated in (False, True):
        found = ended(
            cloud, create(cloud, ask("connect", told=port, EnableNetworkIsolation=isolated))
        )
        assert found["EnableNetworkIsolation"] is isolated
        assert result(cloud, found)["connected"] is not isolated


def test_what_aws_refuses_is_refused(
    cloud: Cloud, ask: Ask, careless: Callable[[str], Any]
) -> None:
    sagemaker = careless("sagemaker")
    taken = create(cloud, ask("finish"))
    resources = {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    nothing = {"S3DataType": "S3Prefix", "S3Uri": cloud.uri("training-tests", "nothing", "")}
    channel = {"ChannelName": "x", "DataSource": {"S3DataSource": nothing}}
    short = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 30}
    for changes, code, words in (
        ({"TrainingJobName": taken}, "ResourceInUse", "must be unique"),
        ({"TrainingJobName": "under_score"}, "ValidationException", "trainingJobName"),
        ({"ResourceConfig": {**resources, "InstanceType": "ml.g9.huge"}}, "Valid", "enum value"),
        ({"ResourceConfig": {**resources, "InstanceType": "ml.p5.48xlarge"}},
         "ResourceLimitExceeded", "ml.p5.48xlarge for training job usage"),
        ({"EnableManagedSpotTraining": True}, "Valid", "Invalid MaxWaitTimeInSeconds"),
        ({"EnableManagedSpotTraining": True, "StoppingCondition": short}, "Valid", "greater than"),
        ({"RoleArn": cloud.role_arn + "-nobody"}, "Valid", "Could not assume role"),
        ({"InputDataConfig": [channel]}, "Valid", "No S3 objects found"),
        ({"InputDataConfig": []}, "Valid", "length"),
        ({"HyperParameters": {"max_steps": 400}}, "Valid", "max_steps"),
    ):  # fmt: skip
        with pytest.raises(ClientError, match=words) as refused:
            sagemaker.create_training_job(**{**ask("finish"), **changes})
        assert refused.value.response["Error"]["Code"].startswith(code), changes
    assert ended(cloud, taken)["TrainingJobStatus"] == "Completed"


def test_tags_of_a_job_are_found_and_go_with_it(cloud: Cloud, ask: Ask) -> None:
    name = create(cloud, ask("finish", Tags=cloud.tags))
    arn = ended(cloud, name)["TrainingJobArn"]
    index = cloud.client("resourcegroupstaggingapi")
    asked = {"ResourceTypeFilters": ["sagemaker:training-job"]}
    found = index.get_resources(**asked)["ResourceTagMappingList"]
    assert arn in {one["ResourceARN"] for one in found}
    cloud.client("sagemaker").delete_training_job(TrainingJobName=name)
    found = index.get_resources(**asked)["ResourceTagMappingList"]
    assert arn not in {one["ResourceARN"] for one in found}
