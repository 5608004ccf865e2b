"""Traces: every form in which a file gives away whose it is, and none that it does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.archives import pack
from helpers.cloud.traces import traces_in, traces_in_text, traces_of_key
from helpers.hosting.picture import Painted
from helpers.hosting.provenance import note_path, save_picture
from helpers.photos.archive import pack_request
from helpers.photos.load import load_photo
from helpers.photos.photo import Photo

SHA, OTHER = "5a" * 32, "c3" * 32
TARGET = f"avatars/person-{SHA[:16]}-0a1b2c.tar.gz"
PICTURE = Image.effect_noise((48, 48), 80).convert("RGB")


@pytest.mark.parametrize(
    ("key", "trace"),
    [
        ("requests/ada-1.tar.gz", "job:ada-1"),
        ("records/ada-1.json", "job:ada-1"),
        ("staging/ada-1/adapter.tar.gz", "job:ada-1"),
        ("staging/ada-1/checkpoints/3", "job:ada-1"),
        (f"avatars/{TARGET}", f"avatar:{SHA[:16]}"),
    ],
)
def test_a_key_names_its_job_or_its_adapter(key: str, trace: str) -> None:
    assert traces_of_key(key) == {trace}


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True))
def test_an_id_leads_to_the_same_job_wherever_it_stands(inference_id: str) -> None:
    """Staging and logs hold a hash of ids that are not plain."""
    (job,) = traces_of_key(f"requests/{inference_id}.tar.gz")
    assert traces_of_key(f"staging/{job.removeprefix('job:')}/adapter.tar.gz") == {job}
    saved = json.dumps({"endpoint": "tuning", "inference_id": inference_id})
    assert traces_in_text(saved) == {job}
    assert traces_in_text(json.dumps({"job": saved})) == {job}, "JSON in JSON, as notes hold it"


def test_keys_of_nobody_say_nothing() -> None:
    for key in ("models/tune.tar.gz", "avatars/model_setup.tar.gz", "async/tune/output/1.out"):
        assert traces_of_key(key) == set()


def test_a_photo_is_the_same_photo_packed_and_as_it_came(tmp_path: Path) -> None:
    """The learner's own file differs in format, size and metadata from what is sent."""
    original = tmp_path / "beach.png"
    PICTURE.resize((1600, 1200)).save(original)
    archive = pack_request([load_photo(original)], tmp_path / "request.tar.gz")
    sent = traces_in("request.tar.gz", archive.read_bytes())
    kept = traces_in("beach.png", original.read_bytes())
    assert len(sent) == 1 and sent < kept and len(kept) == 2
    other = Photo(name="other", image=PICTURE.rotate(180))
    again = pack_request([other], tmp_path / "other.tar.gz")
    assert not traces_in("other.tar.gz", again.read_bytes()) & kept


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_painted_picture_names_its_adapter_and_is_no_photo(form: str) -> None:
    painted = Painted(image=PICTURE, info={"adapter_sha256": SHA, "prompt": "a dog"})
    data = painted.to_png() if form == "png" else painted.to_jpeg()
    assert traces_in(f"x.{form}", data) == {f"adapter:{SHA}"}
    of_the_base = Painted(image=PICTURE, info={"adapter_sha256": None, "prompt": "a dog"})
    assert traces_in("x.png", of_the_base.to_png()) == set()
    poster = Painted(image=PICTURE, info={"adapters": [SHA, OTHER]})
    assert traces_in("x.png", poster.to_png()) == {f"adapter:{SHA}", f"adapter:{OTHER}"}


@pytest.mark.parametrize("info", [{"adapter_sha256": SHA}, {"adapters": [SHA]}])
def test_the_note_beside_a_picture_belongs_to_whom_the_picture_belongs(
    tmp_path: Path, info: dict[str, object]
) -> None:
    path = save_picture(Painted(image=Image.new("RGB", (8, 8)), info=info), tmp_path / "me.webp")
    for one in (path, note_path(path)):
        assert f"adapter:{SHA}" in traces_in(one.name, one.read_bytes())


def test_an_adapter_is_known_by_its_weights_and_by_its_manifest(tmp_path: Path) -> None:
    weights = b"not really tensors"
    digest = hashlib.sha256(weights).hexdigest()
    manifest = json.dumps({"sha256": digest, "embeddings_sha256": None}).encode()
    members = {"pytorch_lora_weights.safetensors": weights, "adapter.json": manifest}
    staged = pack(members, tmp_path / "adapter.tar.gz")
    published = pack(
        {f"sd_lora/1/adapter/{name}": data for name, data in members.items()},
        tmp_path / "published.tar.gz",
    )
    both = {f"adapter:{digest}", f"avatar:{digest[:16]}"}
    for archive in (staged, published):
        assert traces_in(archive.name, archive.read_bytes()) == both
    assert traces_in("weights.safetensors", weights) == {f"adapter:{digest}"}


def test_learned_words_are_part_of_the_name_that_it_is_served_by() -> None:
    manifest = {"sha256": SHA, "embeddings_sha256": OTHER}
    found = traces_in("adapter.json", json.dumps(manifest).encode())
    mixed = hashlib.sha256((SHA + OTHER).encode()).hexdigest()[:16]
    assert found == {f"adapter:{SHA}", f"adapter:{OTHER}", f"avatar:{mixed}"}


def test_a_result_names_its_job_and_a_report_its_target() -> None:
    result = {
        "status": "completed", "inference_id": "ada-1",
        "adapter": "s3://b/avatar-course/ada/staging/ada-1/adapter.tar.gz",
        "photos": [{"name": "beach.jpg", "how": "face"}],
    }  # fmt: skip
    assert traces_in("1.out", json.dumps(result).encode()) == {"job:ada-1"}
    report = {"target_model": TARGET}
    assert traces_in("report.json", json.dumps(report).encode()) == {f"avatar:{SHA[:16]}"}


@given(st.binary(max_size=200), st.sampled_from(["a.png", "a.tar.gz", "a.json", "a.out", "a.jpg"]))
def test_damaged_files_are_nobodys_and_stop_nothing(data: bytes, name: str) -> None:
    assert not {trace for trace in traces_in(name, data) if not trace.startswith("photo:")}
