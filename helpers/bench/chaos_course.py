"""The course of the chaos bench, as a notebook that is run again from the top after each kill:

    python -m helpers.bench.chaos_course FOLDER

Topics, endpoint, jobs, their messages, published avatars. All of it is written into
``notes.jsonl`` as it is done, and what was done is not done again. It goes on until
``FOLDER/enough`` is there and all jobs have ended.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from helpers.bases import open_base
from helpers.cloud.endpoints import deploy_async
from helpers.cloud.images import djl_image
from helpers.cloud.jobs import Job, job_state, result
from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud, open_cloud
from helpers.cloud.topics import Topics, create_topics
from helpers.errors import CourseError
from helpers.hosting.publisher import publish_avatar
from helpers.jsonl import append_line, read_lines
from helpers.settings import Settings

ADAPTERS, AT_ONCE = 3, 3
TROUBLE = (ClientError, BotoCoreError, CourseError)


def settings_of(folder: Path) -> Settings:
    return Settings(
        fast=True, threads=1, state=folder / "state", outputs=folder / "outputs", learner="chaos"
    )


@dataclass(kw_only=True)
class Course:
    """The course in one folder, and what its notes say of it."""

    folder: Path
    cloud: Cloud
    endpoint: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, folder: Path) -> Course:
        course = cls(folder=folder, cloud=open_cloud(settings_of(folder)))
        for line in read_lines(folder / "notes.jsonl"):
            if line["what"] == "accepted":
                course.jobs[line["id"]] = Job.from_json(line["job"])
            elif line["what"] in ("published", "failed"):
                course.over.add(line["id"])
        return course

    @property
    def ledger(self) -> Ledger:
        return self.cloud.ledger()

    def note(self, what: str, name: str, **more: Any) -> None:
        append_line(self.folder / "notes.jsonl", {"what": what, "id": name, **more})

    def deploy(self, topics: Topics) -> None:
        """An endpoint that is there, or a new one; a name that a kill left half made is passed."""
        sagemaker = self.cloud.client("sagemaker")
        for number in count():
            name = self.cloud.name(f"chaos-{number}")
            try:
                status = sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
            except ClientError:
                try:
                    deploy_async(
                        self.cloud, self.ledger, name=name, image=djl_image(self.cloud.region),
                        model_data=self.folder / "model.tar.gz", instance_type="ml.g5.xlarge",
                        success_topic=topics.success, error_topic=topics.error, max_concurrent=2,
                    )  # fmt: skip
                except CourseError as trouble:
                    if "already existing" in str(trouble):
                        continue
                    raise
                status = "Creating"
            if status != "Failed":
                self.endpoint = name
                return self._wait()

    def submit(self, number: int) -> None:
        name = f"job-{number}-{uuid.uuid4().hex[:8]}"
        self.note("intended", name)
        body = {
            "id": name, "adapter": number % ADAPTERS, "bucket": self.cloud.bucket,
            "staging": f"{self.cloud.prefix}/staging",
        }  # fmt: skip
        answer = self.cloud.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=self.endpoint, Body=json.dumps(body).encode(),
            ContentType="application/json", InferenceId=name, InvocationTimeoutSeconds=60,
        )  # fmt: skip
        job = Job(
            endpoint=self.endpoint, inference_id=name, input_location="",
            output_location=answer["OutputLocation"], failure_location=answer["FailureLocation"],
            submitted=time.time(), timeout_s=60,
        )  # fmt: skip
        self.note("accepted", name, job=job.to_json())
        self.jobs[name] = job

    def look(self) -> list[str]:
        """The jobs that have not ended; of those that just have, the avatars are published."""
        for name, job in self.jobs.items():
            if name in self.over or (state := job_state(self.cloud, job)) == "running":
                continue
            if state == "failed":
                self.note("failed", name)
            else:
                target = publish_avatar(
                    self.cloud.client("s3"), result(self.cloud, job)["adapter"],
                    self.cloud.uri("mme"), base=open_base(self.folder / "base"),
                    work=self.folder / "work",
                )  # fmt: skip
                self.note("published", name, target=target)
            self.over.add(name)
        return [name for name in self.jobs if name not in self.over]

    def read_messages(self, topics: Topics, wait_s: int = 0) -> int:
        """Write down the messages that have come, then delete them."""
        sqs = self.cloud.client("sqs")
        answer = sqs.receive_message(
            QueueUrl=topics.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s,
            VisibilityTimeout=1,
        )  # fmt: skip
        for message in answer.get("Messages", []):
            envelope = json.loads(message["Body"])
            told = json.loads(envelope["Message"])
            self.note(
                "told", told["inferenceId"], message=envelope["MessageId"],
                status=told["invocationStatus"],
            )  # fmt: skip
            sqs.delete_message(QueueUrl=topics.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return len(answer.get("Messages", []))

    def _wait(self) -> None:
        sagemaker = self.cloud.client("sagemaker")
        while (
            sagemaker.describe_endpoint(EndpointName=self.endpoint)["EndpointStatus"] == "Creating"
        ):
            time.sleep(0.05)


def main(folder: Path) -> None:
    course = Course.open(folder)
    topics = create_topics(course.cloud, course.ledger, "chaos")
    course.deploy(topics)
    while True:
        waiting, enough = course.look(), (folder / "enough").exists()
        if enough and not waiting:
            return
        if len(waiting) < AT_ONCE and not enough:
            course.submit(len(course.jobs))
        course.read_messages(topics)
        time.sleep(0.05)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except TROUBLE as trouble:  # the service was killed; whoever watches runs this again
        sys.exit(f"{type(trouble).__name__}: {trouble}")
