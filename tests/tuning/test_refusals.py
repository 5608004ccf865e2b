"""What a request can get wrong, seen where a learner sees it: failure object and error topic."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from helpers.bases import BaseModel
from helpers.cloud import jobs
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.session import Cloud
from helpers.cloud.topics import Topics, create_topics
from helpers.errors import JobError
from helpers.tuning.package import package_training_service

pytestmark = pytest.mark.slow
NAME = "refusals"


@pytest.fixture(scope="module")
def topics(cloud: Cloud) -> Topics:
    return create_topics(cloud, cloud.ledger(), NAME)


@pytest.fixture(scope="module", autouse=True)
def endpoint(
    cloud: Cloud, topics: Topics, tiny: BaseModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    archive = package_training_service(
        tmp_path_factory.mktemp("service") / "model.tar.gz",
        base_folder=tiny.folder,
        staging_s3_uri=cloud.uri(NAME),
    )
    made = deploy_async(
        cloud, cloud.ledger(), name=NAME, image=djl_image(cloud.region), model_data=archive,
        instance_type="ml.g5.xlarge", success_topic=topics.success, error_topic=topics.error,
    )  # fmt: skip
    wait_in_service(cloud, NAME)
    yield
    cloud.client("sagemaker").delete_endpoint(EndpointName=made.endpoint)


def _photo() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def _archive(members: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] | None = None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change:
                change(info)
            archive.addfile(info, io.BytesIO(data) if info.isfile() else None)
    return buffer.getvalue()


def _configured(**config: object) -> bytes:
    short = {"n_steps": 2, "batch_size": 1, "num_class_images": 1, "lora_r": 4}
    text = json.dumps({**short, **config}).encode()
    return _archive({"a.jpg": _photo(), "config.json": text})


def _into_link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0


WRONG = {
    "empty-file": (b"", "empty"),
    "empty-archive": (_archive({}), "holds no file"),
    "no-archive": (b"these are my photos" * 40, "not a.*archive"),
    "climbing": (_archive({"../../a.jpg": _photo()}), r"\.\./"),
    "absolute": (_archive({"/tmp/a.jpg": _photo()}), "/tmp/a.jpg"),
    "link": (_archive({"a.jpg": _photo()}, _into_link), "a.jpg"),
    "no-photo": (_archive({"a.jpg": b"no picture", "b.txt": b"nor this"}), "no usable photo"),
    "unknown-key": (_configured(n_stepz=3), "n_stepz.*Did you mean n_steps"),
    "wrong-type": (_configured(with_prior_preservation="no"), "with_prior_preservation"),
    "no-steps": (_configured(n_steps=0), "n_steps"),
    "other-base": (_configured(base_model="stabilityai/stable-diffusion-2-1-base"), "base"),
    "path-as-base": (_configured(base_model="/opt/models/x"), "base_model"),
}


def _run(cloud: Cloud, name: str, request: bytes, tmp_path: Path) -> jobs.Job:
    path = tmp_path / "request.tar.gz"
    path.write_bytes(request)
    job = jobs.submit(cloud, NAME, path, inference_id=name, timeout_s=120)
    for status in jobs.follow(cloud, job, every_s=0.1):
        assert status.seconds < 100
    return job


@pytest.mark.promise(
    "Each mistake is explained where the learner looks",
    fault="twelve kinds of bad request through the real endpoint: empty, no archive, unsafe "
    "members, no photo, unknown key, wrong type, 0 steps, a path for a base",
    outcome="failure object, error topic and `JobError` in the same words; the next request is "
    "served",
)
def test_each_mistake_is_explained_and_the_next_request_is_served(
    cloud: Cloud, topics: Topics, tmp_path: Path
) -> None:
    for name, (request, explanation) in WRONG.items():
        job = _run(cloud, name, request, tmp_path)
        with pytest.raises(JobError, match=f"(?is){explanation}"):
            jobs.result(cloud, job)
    good = _run(cloud, "good", _configured(), tmp_path)
    assert jobs.result(cloud, good)["status"] == "completed"

    messages = {}
    while len(messages) < len(WRONG) + 1:
        fresh = jobs.notifications(cloud, topics.queue_url, wait_s=10)
        assert fresh, f"only {sorted(messages)} told the topics"
        messages.update({message.inference_id: message for message in fresh})
    assert {name for name, one in messages.items() if one.status == "Failed"} == set(WRONG)
    assert all(messages[name].failure_reason for name in WRONG)

    bucket, prefix = cloud.bucket, f"{cloud.prefix}/{NAME}"
    staged = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert [item["Key"] for item in staged] == [f"{prefix}/good/adapter.tar.gz"]
