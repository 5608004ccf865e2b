"""Forget one avatar: nothing of one subject is left anywhere, and nothing of another is touched."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.bases import open_base
from helpers.cloud.endpoints import deploy_async, deploy_multi_model, wait_in_service
from helpers.cloud.forget import Avatar, find_avatars, forget_avatar
from helpers.cloud.images import IMAGES
from helpers.cloud.jobs import Job, submit
from helpers.cloud.serving_image import build_serving_image
from helpers.cloud.session import Cloud, open_cloud
from helpers.errors import CleanUpError, ServiceError
from helpers.hosting.client import AvatarClient
from helpers.hosting.publisher import publish_avatar
from helpers.hosting.repository import build_base_repository
from helpers.local.launch import stop
from helpers.local.statefile import WORK
from helpers.photos.archive import pack_request, packed_photo
from helpers.photos.photo import Photo
from helpers.settings import Settings
from helpers.tuning.adapter import WEIGHTS, pack_adapter
from helpers.ui.gallery import save_poster
from helpers.ui.lab import Lab
from tests.cloud.faults import Faults
from tests.hosting.conftest import MakeAdapter, make_adapter, small_base
from tests.local.conftest import model_archive
from tests.local.jobs import wait

__all__ = ["make_adapter", "small_base"]

TRAINER = Path(__file__).with_name("trainer.py")
SMALL = {"num_inference_steps": 2, "seed": 1}
NAMES = ("anna", "bert")


def photos(seed: int, count: int = 4) -> list[Photo]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, 40, 40, 3), dtype=np.uint8)
    return [
        Photo(name=f"{seed}-{place}", image=Image.fromarray(one).resize((320, 320)))
        for place, one in enumerate(pixels)
    ]


PHOTOS = {name: photos(seed) for seed, name in enumerate(NAMES)}


@dataclass
class Studio:
    """A learner with two avatars: Anna of three jobs, one of them failed, and Bert of one."""

    lab: Lab
    weights: dict[str, bytes]
    adapters: dict[str, str]
    jobs: dict[str, Job]
    targets: dict[str, str]

    @property
    def cloud(self) -> Cloud:
        return self.lab.cloud

    @property
    def outputs(self) -> Path:
        return self.lab.settings.outputs

    def avatar(self, name: str) -> Avatar:
        (found,) = [one for one in find_avatars(self.cloud) if one.knows(self.targets[name])]
        return found

    def secrets(self, name: str) -> list[bytes]:
        """Bytes that nothing may hold any more once the avatar is forgotten."""
        packed = [packed_photo(photo) for photo in PHOTOS[name]]
        words = [self.targets[name], self.adapters[name]]
        words += [job for job in self.jobs if job.startswith(name)]
        # From the middle: the beginnings of two adapters are alike.
        parts = [data[len(data) // 2 :][:40] for data in [*packed, self.weights[name]]]
        return parts + [word.encode() for word in words]


@pytest.fixture(scope="module")
def studio(
    pocket: Path, make_adapter: MakeAdapter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    settings = Settings(
        fast=True, threads=1, learner="ada", state=folder / "state", outputs=folder / "outputs"
    )
    settings.outputs.mkdir()
    lab = Lab("test", settings)
    made = {name: make_adapter(seed, token=name) for seed, name in enumerate(NAMES, start=1)}
    for name, adapter in made.items():
        pack_adapter(adapter, folder / f"{name}.tar.gz")
    deploy_trainer(lab.cloud, folder)
    jobs = {
        job: ask(lab.cloud, job, PHOTOS[name][part], settings.outputs)
        for job, name, part in (
            ("anna-1", "anna", slice(3)), ("anna-2", "anna", slice(2, 4)),
            ("nobody-1", "anna", slice(1)), ("bert-1", "bert", slice(4)),
        )
    }  # fmt: skip
    base = open_base(pocket)
    targets = {
        name: publish_avatar(
            lab.cloud.client("s3"), lab.cloud.uri("staging", f"{name}-1", "adapter.tar.gz"),
            lab.cloud.uri("avatars"), base=base, work=settings.outputs / "work",
        )
        for name in NAMES
    }  # fmt: skip
    weights = {name: (adapter / WEIGHTS).read_bytes() for name, adapter in made.items()}
    hashes = {
        name: json.loads((adapter / "adapter.json").read_text())["sha256"]
        for name, adapter in made.items()
    }
    yield Studio(lab=lab, weights=weights, adapters=hashes, jobs=jobs, targets=targets)
    stop(settings)


def deploy_trainer(cloud: Cloud, folder: Path) -> None:
    deploy_async(
        cloud, cloud.ledger(), name="tuning", instance_type="ml.g5.xlarge",
        image=f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{IMAGES['fine-tuning'].name}",
        model_data=model_archive(folder, handler=TRAINER.read_text()),
        environment={"ADAPTERS": str(folder), "STAGING": cloud.uri("staging")},
    )  # fmt: skip
    wait_in_service(cloud, "tuning")


def ask(cloud: Cloud, job: str, some: list[Photo], outputs: Path) -> Job:
    request = pack_request(some, outputs / f"request-{job}.tar.gz")
    sent = submit(cloud, "tuning", request, inference_id=job)
    assert wait(cloud, sent) == ("failed" if job == "nobody-1" else "completed")
    return sent


def everything(studio: Studio) -> dict[str, bytes]:
    """Every object, and every file that the course wrote, but logs."""
    cloud, settings = studio.cloud, studio.lab.settings
    s3 = cloud.client("s3")
    found = {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=cloud.bucket):
        for item in page.get("Versions", []):
            answer = s3.get_object(
                Bucket=cloud.bucket, Key=item["Key"], VersionId=item["VersionId"]
            )
            found[f"s3 {item['Key']} {item['VersionId']}"] = answer["Body"].read()
    working = Path((settings.state / WORK).read_text())
    for folder in (settings.outputs, settings.state, working):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_relative_to(settings.state / "logs"):
                found[str(path)] = path.read_bytes()
    return found


def holding(studio: Studio, secrets: list[bytes]) -> list[str]:
    return [
        where
        for where, data in everything(studio).items()
        if any(secret in where.encode() + data + unpacked(data) for secret in secrets)
    ]


def unpacked(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else b""


def test_files_that_share_a_photo_or_an_adapter_are_one_avatar(studio: Studio) -> None:
    anna, bert = studio.avatar("anna"), studio.avatar("bert")
    assert len(find_avatars(studio.cloud)) == 2
    assert set(anna.of("job")) == {"anna-1", "anna-2", "nobody-1"}
    assert (len(anna.of("photo")), len(bert.of("photo"))) == (4, 4)
    assert bert.of("job") == ["bert-1"]
    for known in (
        studio.targets["anna"], studio.jobs["anna-1"].to_json(), "anna-2",
        studio.cloud.uri("staging", "anna-1", "adapter.tar.gz"),
    ):  # fmt: skip
        assert anna.knows(known) and not bert.knows(known)
    assert not anna.traces & bert.traces
    assert str(anna).startswith("jobs: 3, photos: 4, avatars: 1 (dog-")


def test_an_avatar_is_found_when_its_photos_and_staging_have_expired(studio: Studio) -> None:
    """A lifecycle rule removes requests; the record and the published archive still tell."""
    s3, cloud = studio.cloud.client("s3"), studio.cloud
    before = studio.avatar("bert")
    saved = {}
    for key in ("requests/bert-1.tar.gz", "staging/bert-1/adapter.tar.gz"):
        full = f"{cloud.prefix}/{key}"
        saved[full] = s3.get_object(Bucket=cloud.bucket, Key=full)["Body"].read()
        s3.delete_object(Bucket=cloud.bucket, Key=full)
    later = studio.avatar("bert")
    for key, body in saved.items():
        s3.put_object(Bucket=cloud.bucket, Key=key, Body=body)
    assert set(later.of("job")) == {"bert-1"} and later.of("photo") == before.of("photo")


@pytest.fixture
def faults(studio: Studio) -> Iterator[Faults]:
    made = Faults(studio.cloud)
    yield made
    made.end()


@pytest.mark.promise(
    "What could not be forgotten is said",
    fault="S3 that refuses",
    outcome="`CleanUpError` names the objects; the next time they go",
)
def test_what_cannot_be_removed_is_reported_and_goes_the_next_time(
    studio: Studio, faults: Faults
) -> None:
    """Clara has photos and no adapter yet: her container failed."""
    cloud = studio.cloud
    with pytest.raises(AssertionError):
        ask(cloud, "clara-1", photos(7), studio.outputs)
    (clara,) = [one for one in find_avatars(cloud) if one.knows("clara-1")]
    refusal = {"Key": "x", "Code": "AccessDenied", "Message": "not yours"}
    faults.answer("s3", "DeleteObjects", {"Errors": [refusal]})
    report = forget_avatar(cloud, cloud.ledger(), clara)
    refused = {where for where, _ in report.failed}
    assert set(clara.objects) < refused <= {*clara.objects, *clara.places}
    with pytest.raises(CleanUpError, match="not yours"):
        report.require_empty()
    faults.end()
    (clara,) = [one for one in find_avatars(cloud) if one.knows("clara-1")]
    assert forget_avatar(cloud, cloud.ledger(), clara).require_empty().removed
    assert not [one for one in find_avatars(cloud) if one.knows("clara-1")]


def test_old_versions_and_half_uploads_are_forgotten_too(studio: Studio) -> None:
    cloud, s3 = studio.cloud, studio.cloud.client("s3")
    versioning = {"Bucket": cloud.bucket}
    s3.put_bucket_versioning(**versioning, VersioningConfiguration={"Status": "Enabled"})
    key = f"{cloud.prefix}/requests/dora-1.tar.gz"
    archive = pack_request(photos(8), studio.outputs / "dora.tar.gz")
    for _ in range(2):
        s3.put_object(Bucket=cloud.bucket, Key=key, Body=archive.read_bytes())
    s3.delete_object(Bucket=cloud.bucket, Key=key)
    s3.create_multipart_upload(Bucket=cloud.bucket, Key=key)
    (dora,) = [one for one in find_avatars(cloud) if one.knows("dora-1")]
    report = forget_avatar(cloud, cloud.ledger(), dora).require_empty()
    assert len(report.removed) == 3, "the key, the upload and the archive on this machine"
    listed = s3.list_object_versions(Bucket=cloud.bucket, Prefix=key)
    assert not {"Versions", "DeleteMarkers"} & set(listed)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=cloud.bucket)
    s3.put_bucket_versioning(**versioning, VersioningConfiguration={"Status": "Suspended"})


@pytest.fixture(scope="module")
def painters(
    studio: Studio, pocket: Path, tmp_path_factory: pytest.TempPathFactory
) -> AvatarClient:
    cloud = studio.cloud
    repository = build_base_repository(tmp_path_factory.mktemp("image") / "repository", pocket)
    made = deploy_multi_model(
        cloud, cloud.ledger(), name="avatars", instance_type="ml.g5.xlarge",
        image=build_serving_image(cloud, cloud.ledger(), repository, say=lambda _: None),
        model_prefix=cloud.uri("avatars"),
    )  # fmt: skip
    wait_in_service(cloud, made.endpoint, timeout_s=240)
    return AvatarClient(cloud.client("sagemaker-runtime"), made.endpoint)


@pytest.mark.promise(
    "One person is forgotten everywhere",
    fault="15 and more places that hold photos, adapter or pictures",
    outcome="a search for each of their bytes finds nothing; the other avatar paints the same",
)
@pytest.mark.slow
def test_one_avatar_is_forgotten_everywhere_and_the_other_still_paints(
    studio: Studio, painters: AvatarClient
) -> None:
    cloud, outputs, lab = studio.cloud, studio.outputs, studio.lab
    painted = {name: painters.paint(studio.targets[name], "a photo", **SMALL) for name in NAMES}
    for name, one in painted.items():
        (outputs / f"{name}.png").write_bytes(one.to_png())
        (outputs / f"{name}.jpg").write_bytes(one.to_jpeg())
        PHOTOS[name][0].image.save(outputs / f"photo-of-{name}.png")
        save_poster(one.image, outputs / f"poster-{name}.png", adapters=[studio.adapters[name]])
        unpacked_adapter = outputs / "work" / name / "adapter"
        unpacked_adapter.mkdir(parents=True)
        (unpacked_adapter / WEIGHTS).write_bytes(studio.weights[name])
    lab.keep(target=studio.targets["anna"], job=studio.jobs["anna-1"].to_json(), other="words")
    own_photos = outputs.parent / "camera"
    own_photos.mkdir()
    PHOTOS["anna"][1].image.save(own_photos / "me.png")
    lab.keep(photos=str(own_photos), heldout=str(outputs.parent))
    others = open_cloud(Settings(**{**vars(lab.settings), "learner": "ada-two"}))
    others.client("s3").put_object(
        Bucket=others.bucket, Key=f"{others.prefix}/requests/x.tar.gz", Body=b"theirs"
    )
    before = everything(studio)
    assert len(holding(studio, studio.secrets("anna"))) >= 15

    anna = studio.avatar("anna")
    rehearsed = forget_avatar(cloud, cloud.ledger(), anna, dry_run=True)
    assert everything(studio).keys() == before.keys()
    report = forget_avatar(cloud, cloud.ledger(), anna).require_empty()
    assert report.removed == rehearsed.removed and report.renewed == rehearsed.renewed
    assert report.renewed == [painters.endpoint_name]

    assert holding(studio, studio.secrets("anna")) == []
    after = everything(studio)
    assert {where for where in before if "bert" in where} <= set(after)
    theirs = {where: data for where, data in before.items() if where.startswith("s3")}
    gone = {where for where in theirs if where not in after}
    assert all(after[where] == data for where, data in theirs.items() if where not in gone)
    assert not [where for where in gone if "bert" in where or "ada-two" in where]
    notes = json.loads((lab.settings.state / "notes-local-ada.json").read_text())
    assert notes == {"other": "words"}
    assert (own_photos / "me.png").exists(), "a learner's own folder is touched only when named"
    named = forget_avatar(cloud, cloud.ledger(), anna, folders=[own_photos], dry_run=True)
    assert named.removed == [str(own_photos / "me.png")]

    with pytest.raises(ServiceError, match="Failed to download model data"):
        painters.paint(studio.targets["anna"], "a photo", **SMALL)
    again = painters.paint(studio.targets["bert"], "a photo", **SMALL)
    assert np.array_equal(np.asarray(again.image), np.asarray(painted["bert"].image))
    assert [one.of("job") for one in find_avatars(cloud)] == [["bert-1"]]
    assert forget_avatar(cloud, cloud.ledger(), anna).removed == [], "a second time finds nothing"
    configs = cloud.client("sagemaker").list_endpoint_configs()["EndpointConfigs"]
    assert len(configs) == 2, "the configuration of the instances that ended went with them"
