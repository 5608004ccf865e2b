from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from PIL import Image

from helpers.archives import pack
from helpers.bases import BaseModel
from helpers.errors import ArchiveError, ConfigError, PhotoError, TrainingError
from helpers.photos.archive import pack_request
from helpers.photos.photo import Photo
from helpers.tuning.adapter import unpack_adapter
from helpers.tuning.progress import job_name, read_progress
from helpers.tuning.service import clear_leftovers, publish_to, read_headers, run_job

SHORT: dict[str, Any] = {"n_steps": 3, "batch_size": 2, "num_class_images": 1, "lora_r": 4}


class Staging:
    """Keeps what was published, in memory."""

    def __init__(self) -> None:
        self.archives: dict[str, bytes] = {}

    def publish(self, archive: Path, inference_id: str) -> str:
        self.archives[inference_id] = archive.read_bytes()
        return f"s3://staging/{inference_id}"


@pytest.fixture
def staging() -> Staging:
    return Staging()


@pytest.fixture
def ask(photos: list[Image.Image], tmp_path: Path) -> Callable[..., bytes]:
    """A request archive with the given configuration."""

    def ask(**config: Any) -> bytes:
        taken = [Photo(name=f"p{n}.jpg", image=image) for n, image in enumerate(photos)]
        return pack_request(taken, tmp_path / "request.tar.gz", {**SHORT, **config}).read_bytes()

    return ask


@pytest.fixture
def job(tiny: BaseModel, tmp_path: Path, staging: Staging) -> Callable[..., dict[str, Any]]:
    """Run a job in a work folder that must hold nothing of it afterwards."""

    def job(request: bytes, inference_id: str = "job-1", **more: Any) -> dict[str, Any]:
        work = tmp_path / "work"
        try:
            return run_job(
                request,
                **{
                    "base": tiny,
                    "work": work,
                    "publish": staging.publish,
                    "inference_id": inference_id,
                    **more,
                },
            )
        finally:
            assert not list(work.glob("job-*"))

    return job


def test_a_job_publishes_an_adapter_and_tells_all_about_it(
    tiny: BaseModel, ask: Callable, job: Callable, staging: Staging, tmp_path: Path
) -> None:
    lines: list[str] = []
    result = job(ask(), log=lines.append)
    adapter = unpack_adapter(staging.archives["job-1"], tmp_path / "into")
    assert adapter.manifest.base_hash == tiny.hash
    assert adapter.manifest.configuration["n_steps"] == 3
    assert result == json.loads(json.dumps(result))
    assert result["status"] == "completed"
    assert result["adapter"] == "s3://staging/job-1"
    assert result["steps"] == 3
    assert result["seconds"] > 0
    assert result["bytes"] == len(staging.archives["job-1"])
    assert result["metrics"] == adapter.manifest.metrics
    assert [photo["name"] for photo in result["photos"]] == ["p0.jpg", "p1.jpg", "p2.jpg"]
    assert {photo["how"] for photo in result["photos"]} == {"centre"}
    told = list(read_progress(lines, "job-1"))
    assert [(one.stage, one.done, one.total) for one in told] == [
        ("class-images", 1, 1),
        *(("step", step, 3) for step in (1, 2, 3)),
    ]


def test_faces_are_looked_for_only_if_asked(ask: Callable, job: Callable) -> None:
    notes = [
        [note for photo in job(ask(face_preprocessing=switch))["photos"] for note in photo["notes"]]
        for switch in (False, True)
    ]
    assert ["no face found" in str(one) for one in notes] == [False, True]


def test_what_was_not_done_as_asked_is_in_the_warnings(
    ask: Callable, job: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)  # a processor of ten years ago
    said = job(
        ask(use_8bit_adam=True, fp16=True, class_data_dir="/tmp/x", concept_prompt="photo of dog")
    )["warnings"]
    for words in (
        "AdamW",
        "single precision",
        "class_data_dir",
        "already a word",
        "name the class",
    ):
        assert any(words in text for text in said), words
    assert job(ask(), "job-2")["warnings"] == []


def test_a_second_job_finds_the_base_and_the_class_images_of_the_first(
    ask: Callable, job: Callable, staging: Staging, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from helpers.tuning import shelf as shelves

    loads, load = [], shelves.load_networks
    monkeypatch.setattr(
        shelves, "load_networks", lambda *one, **more: loads.append(one) or load(*one, **more)
    )
    shelf, lines = shelves.BaseShelf(), []
    for name in ("job-1", "job-2"):
        job(ask(n_steps=1), name, shelf=shelf, log=lines.append)
    assert len(loads) == 1
    assert [one.job for one in read_progress(lines) if one.stage == "class-images"] == ["job-1"]
    assert staging.archives["job-1"] == staging.archives["job-2"]
    # The recipe of 2023 does both for each job, and leaves what is kept alone.
    bank = sorted((tmp_path / "work" / "class-images").iterdir())
    old = {"recipe": "aws-2023", "n_steps": 1, "num_class_images": 1, "class_image_steps": 1}
    job(ask(**old), "job-3", shelf=shelf, log=lines.append)
    assert len(loads) == 2
    assert [one.job for one in read_progress(lines) if one.stage == "class-images"][1:] == ["job-3"]
    assert sorted((tmp_path / "work" / "class-images").iterdir()) == bank


def test_a_whole_model_is_no_result_of_an_endpoint(
    ask: Callable, job: Callable, staging: Staging
) -> None:
    with pytest.raises(ConfigError, match='method is "full"'):
        job(ask(method="full"))
    assert staging.archives == {}


def _tar(**members: bytes) -> Callable[[Path], bytes]:
    named = {name.replace("_", "."): data for name, data in members.items()}
    return lambda folder: pack(named, folder / "bad.tar.gz").read_bytes()


@pytest.mark.parametrize(
    ("request_bytes", "error"),
    [
        (lambda _: b"", ArchiveError),
        (lambda _: b"this is no archive", ArchiveError),
        (_tar(notes_txt=b"hello"), PhotoError),
        (_tar(a_jpg=b"not a picture"), PhotoError),
    ],
)
def test_a_request_that_cannot_be_read_publishes_nothing(
    job: Callable, staging: Staging, tmp_path: Path, request_bytes: Callable, error: type
) -> None:
    with pytest.raises(error):
        job(request_bytes(tmp_path))
    assert staging.archives == {}


@pytest.mark.promise(
    "A wrong configuration costs nobody else anything",
    fault="unknown keys, wrong types, a path for a base",
    outcome="`ConfigError` that names the key; the next job completes",
)
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_steps": 0}, "n_steps is 0"),
        ({"n_step": 4}, "Unknown configuration key 'n_step'. Did you mean n_steps"),
        ({"n_steps": "4"}, 'n_steps is "4"'),
        ({"fp16": 1}, "fp16 is 1"),
        ({"base_model": "/etc/passwd"}, "base_model"),
        ({"base_model": "stabilityai/stable-diffusion-2-1-base"}, "The base model here is"),
        ({"resolution": 512}, "resolution is 512"),
    ],
)
def test_a_wrong_configuration_publishes_nothing_and_the_next_job_works(
    ask: Callable, job: Callable, staging: Staging, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        job(ask(**config))
    assert staging.archives == {}
    assert job(ask(n_steps=1))["status"] == "completed"


@pytest.mark.promise(
    "A late training publishes nothing",
    fault="a deadline that passes before and during the training",
    outcome="`TrainingError`; nothing in staging",
)
def test_a_late_job_publishes_nothing(ask: Callable, job: Callable, staging: Staging) -> None:
    with pytest.raises(TrainingError, match="time ran out"):
        job(ask(), deadline=time.monotonic() - 1)
    with pytest.raises(TrainingError, match="time ran out"):
        job(ask(n_steps=20_000, num_class_images=1), deadline=time.monotonic() + 2)
    assert staging.archives == {}


@pytest.mark.promise(
    "A job without its upload is no success",
    fault="S3 that refuses",
    outcome="the job fails",
)
def test_a_failed_upload_fails_the_job(ask: Callable, job: Callable) -> None:
    def refuse(archive: Path, inference_id: str) -> str:
        assert archive.is_file()
        raise ConnectionError("no S3 today")

    with pytest.raises(ConnectionError, match="no S3 today"):
        job(ask(), publish=refuse)


@pytest.mark.promise(
    "Two jobs at once share nothing",
    fault="two jobs with different seeds in one process",
    outcome="the same bytes as alone",
)
def test_two_jobs_at_once_make_what_each_makes_alone(
    tiny: BaseModel, ask: Callable, tmp_path: Path
) -> None:
    requests = {f"job-{seed}": ask(seed=seed, n_steps=4) for seed in (1, 2)}

    def run(name: str, staging: Staging, work: Path) -> None:
        run_job(
            requests[name], base=tiny, work=work, publish=staging.publish, inference_id=name
        )  # fmt: skip

    alone, together = Staging(), Staging()
    for name in requests:
        run(name, alone, tmp_path / "alone")
    threads = [
        threading.Thread(target=run, args=(name, together, tmp_path / "together"))
        for name in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together.archives == alone.archives
    assert alone.archives["job-1"] != alone.archives["job-2"]


@pytest.fixture
def s3() -> Any:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="staging")
        yield client


@pytest.mark.parametrize(
    ("uri", "inference_id", "key"),
    [
        ("s3://staging/jobs", "a1b2-c3", "jobs/a1b2-c3/adapter.tar.gz"),
        ("s3://staging/jobs/", "a1b2-c3", "jobs/a1b2-c3/adapter.tar.gz"),
        ("s3://staging", "a1b2-c3", "a1b2-c3/adapter.tar.gz"),
    ],
)
def test_publishing_is_one_object_whose_key_is_the_job(
    s3: Any, tmp_path: Path, uri: str, inference_id: str, key: str
) -> None:
    archive = tmp_path / "adapter.tar.gz"
    for content in (b"first", b"again"):
        archive.write_bytes(content)
        assert publish_to(s3, uri)(archive, inference_id) == f"s3://staging/{key}"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="staging")["Contents"]] == [key]
    assert s3.get_object(Bucket="staging", Key=key)["Body"].read() == b"again"


@pytest.mark.promise(
    "A caller chooses no key in the bucket",
    fault="inference ids that climb, that are empty, too long, not ASCII",
    outcome="a key made by the service",
)
@pytest.mark.parametrize("inference_id", ["../../other", "A b", "", "x" * 65, "é", "a/b", "a\nb"])
def test_an_odd_inference_id_chooses_no_key(s3: Any, tmp_path: Path, inference_id: str) -> None:
    archive = tmp_path / "adapter.tar.gz"
    archive.write_bytes(b"data")
    uri = publish_to(s3, "s3://staging/jobs")(archive, inference_id)
    name = uri.removeprefix("s3://staging/jobs/").removesuffix("/adapter.tar.gz")
    assert len(name) == 32
    assert name.isalnum()


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("", 3540),
        ("inference_id=x;timeout_s=300", 240),
        ("timeout_s=30", 15),
        ("timeout_s=90000", 3540),
        ("timeout_s=-5", 3540),
        ("timeout_s=1e9", 3540),
        ("colour=blue", 3540),
    ],
)
def test_a_job_learns_its_time_from_the_caller_within_the_container_s_limit(
    attributes: str, seconds: float
) -> None:
    headers = {
        "x-amzn-SageMaker-Custom-Attributes": attributes,
        "X-Amzn-SageMaker-Inference-ID": "a-1",
    }
    assert read_headers(headers, longest_s=3600) == ("a-1", seconds)


def test_jobs_without_an_id_get_different_ones() -> None:
    first, second = (read_headers({}, longest_s=60)[0] for _ in range(2))
    assert first != second
    assert job_name(first) == first


@pytest.mark.promise(
    "A killed job's folder is removed, a running one's is not",
    fault="folders of a dead and of a living process",
    outcome="only the dead one's goes",
)
def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f"job-{gone.pid}-abc"
    running, priors = tmp_path / f"job-{os.getpid()}-abc", tmp_path / "class-images"
    for folder in (left, running, priors):
        folder.mkdir()
        (folder / "file").touch()
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([running.name, priors.name])
