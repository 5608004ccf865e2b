"""Programs of the course that stop in the middle of one call to AWS, to be killed there.

``python -m tests.cloud.doomed`` imports the course once, then forks a process for every line of
JSON that it reads: ``{"scene", "stem", "operation", "moment", "environment"}``. When that process
stands just before the operation's request, or has let the service do it without hearing the
answer, a line ``{"pid"}`` says so; it waits there until somebody kills it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import botocore.endpoint
import botocore.loaders
import botocore.session

from helpers.cloud import serving_image
from helpers.cloud.clean import main as clean
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import IMAGES
from helpers.cloud.jobs import submit
from helpers.cloud.renew import renew_instances
from helpers.cloud.scaling import scale_with_queue, send_to_sleep
from helpers.cloud.serving_image import build_serving_image
from helpers.cloud.session import Cloud, open_cloud
from helpers.cloud.topics import create_topics
from tests.cloud.accounts import start_job
from tests.local.conftest import model_archive

MOMENTS = ("before", "after")
IMAGE = f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{IMAGES['fine-tuning'].name}"
LARGE = 9 * 1024 * 1024
"""More bytes than boto3 sends in one piece."""


def stop_at(operation: str, moment: str, reached: Callable[[], None]) -> None:
    """From now on the first request of ``operation``, of any client, is the last."""
    send = botocore.endpoint.Endpoint._do_get_response

    def doomed(self: Any, request: Any, model: Any, context: Any) -> Any:
        if model.name != operation:
            return send(self, request, model, context)
        if moment == "after":
            send(self, request, model, context)
        reached()
        time.sleep(600)
        raise AssertionError("nobody killed this process")

    botocore.endpoint.Endpoint._do_get_response = doomed  # type: ignore[method-assign]


def deploy(cloud: Cloud, stem: str, folder: Path, instance: str = "ml.g5.xlarge") -> str:
    return deploy_async(
        cloud, cloud.ledger(), name=stem, image=IMAGE,
        model_data=model_archive(folder), instance_type=instance,
    ).endpoint  # fmt: skip


def send_photos(cloud: Cloud, stem: str, folder: Path) -> None:
    endpoint = deploy(cloud, stem, folder)
    wait_in_service(cloud, endpoint)
    request = folder / "request"
    request.write_text(json.dumps({"do": "echo"}))
    submit(cloud, endpoint, request, inference_id=stem)


def renew(cloud: Cloud, stem: str, folder: Path) -> None:
    endpoint = deploy(cloud, stem, folder)
    wait_in_service(cloud, endpoint)
    renew_instances(cloud, cloud.ledger(), endpoint)


def scale(cloud: Cloud, stem: str, folder: Path) -> None:
    # By now as many of the others run as the account may have; of these, four each.
    instance = "ml.g5.2xlarge" if stem.endswith("after") else "ml.g4dn.xlarge"
    endpoint = deploy(cloud, stem, folder, instance)
    wait_in_service(cloud, endpoint)
    scale_with_queue(cloud, cloud.ledger(), endpoint)
    send_to_sleep(cloud, endpoint)


def train(cloud: Cloud, stem: str, folder: Path) -> None:
    image = IMAGE.replace(IMAGES["fine-tuning"].name, IMAGES["training"].name)
    start_job(cloud, cloud.ledger(), folder, "import time; time.sleep(60)", name=stem, image=image)


def upload_much(cloud: Cloud, stem: str, folder: Path) -> None:
    large = folder / "large"
    large.write_bytes(bytes(LARGE))
    cloud.upload(large, "requests", f"{stem}.tar.gz")


def build_image(cloud: Cloud, stem: str, folder: Path) -> None:
    model = folder / "repository" / "avatar_base"
    model.mkdir(parents=True)
    (model / "config.pbtxt").write_text(f"# {stem}\n")
    build_serving_image(cloud, cloud.ledger(), model.parent, say=lambda _: None)


def play(scene: str, stem: str, folder: Path) -> None:
    """Do what a notebook does. ``open`` is only its first cell."""
    if scene == "clean":
        clean(["--photos", "delete"])
        return
    cloud = open_cloud()
    if scene == "topics":
        create_topics(cloud, cloud.ledger(), stem)
    elif scene != "open":
        scenes = {
            "deploy": deploy, "photos": send_photos, "upload": upload_much, "image": build_image,
            "renew": renew, "scale": scale, "train": train,
        }  # fmt: skip
        scenes[scene](cloud, stem, folder)


def _child(line: dict[str, Any], folder: Path) -> NoReturn:
    def reached() -> None:
        os.write(1, json.dumps({"pid": os.getpid()}).encode() + b"\n")

    os.setpgid(0, 0)
    os.environ.update(line["environment"])
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    stop_at(line["operation"], line["moment"], reached)
    folder.mkdir()
    try:
        play(line["scene"], line["stem"], folder)
    finally:
        os.write(1, json.dumps({"pid": 0}).encode() + b"\n")  # it was never reached
    os._exit(1)


def main(folder: Path) -> None:
    # Every session of every child would read botocore's models again: half a second each.
    loader = botocore.loaders.create_loader()
    botocore.session.create_loader = lambda *_: loader  # type: ignore[attr-defined]
    for service in ("s3", "sns", "sqs", "sagemaker", "sagemaker-runtime", "sts", "iam"):
        loader.load_service_model(service, "service-2")
    # Looking an image up reads the SDK's tables, which takes seconds and is not what is tested.
    serving_image.triton_parent = lambda _: IMAGE  # type: ignore[assignment]
    for number, text in enumerate(sys.stdin):
        line = json.loads(text)
        if (child := os.fork()) == 0:
            _child(line, folder / str(number))
        _, status = os.waitpid(child, 0)
        os.write(1, json.dumps({"signal": os.WTERMSIG(status)}).encode() + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
