from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from helpers.bases import BaseModel, accept_licence, open_base
from helpers.bases.checker import CHECKER, EXTRACTOR
from helpers.bases.folder import MANIFEST, file_sha256
from helpers.bases.keys import PREFIX, bare, read_keys
from helpers.bases.prepare import prepare_base
from helpers.bases.registry import PARTS
from helpers.errors import BaseModelError
from helpers.settings import Settings
from tests.bases.conftest import Register, edit, pins_of

CopyBase = Callable[[], Path]
ENCODER = "text_encoder/model.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"


def _rename(folder: Path, name: str, end: str) -> None:
    (folder / name).rename((folder / name).with_suffix(end))


def test_a_package_is_the_base_and_says_so(
    tiny: BaseModel, settings: Settings, tmp_path: Path
) -> None:
    prepared = prepare_base(tiny.folder)
    written = prepared.write(tmp_path / "package")
    manifest = json.loads((written.folder / MANIFEST).read_text())
    assert (manifest["id"], manifest["hash"]) == ("pocket", tiny.hash)
    assert (manifest["prediction_type"], manifest["resolution"]) == ("v_prediction", 64)
    on_disk = {p.relative_to(written.folder).as_posix() for p in written.folder.rglob("*.*")}
    assert on_disk == {*manifest["files"], MANIFEST}
    for name, facts in manifest["files"].items():
        path = written.folder / name
        assert (file_sha256(path), path.stat().st_size) == (facts["sha256"], facts["bytes"])
    assert open_base(written.folder).hash == tiny.hash
    assert prepared.size == sum(path.stat().st_size for path in written.folder.rglob("*.*"))


def test_preparing_twice_gives_the_same_bytes(
    tiny: BaseModel, settings: Settings, tmp_path: Path
) -> None:
    first = prepare_base(tiny.folder)
    again = prepare_base(first.write(tmp_path / "package").folder)
    assert (again.manifest, again.sums) == (first.manifest, first.sums)
    (tmp_path / "package" / "scheduler" / "scheduler_config.json").write_text("{}")
    with pytest.raises(BaseModelError):
        prepare_base(tmp_path / "package")


def test_what_can_run_code_is_left_behind(copy_base: CopyBase, settings: Settings) -> None:
    folder = copy_base()
    for name in ("unet/diffusion_pytorch_model.bin", "v2-1.ckpt", "unet/run.py", "README.md"):
        (folder / name).write_bytes(b"\x80\x04.")
    (folder / "LICENSE.md").write_text("The licence")
    names = prepare_base(folder).files.keys()
    assert "LICENSE.md" in names
    assert {Path(name).suffix for name in names} <= {".json", ".txt", ".safetensors", ".md"}
    assert "README.md" not in names


@pytest.mark.parametrize("name", [ENCODER, UNET, VAE])
def test_weights_in_another_format_alone_are_refused(
    copy_base: CopyBase, settings: Settings, name: str
) -> None:
    folder = copy_base()
    _rename(folder, name, ".bin")
    with pytest.raises(BaseModelError, match=r"no complete set.*they can run code"):
        prepare_base(folder)


def test_a_half_precision_variant_is_taken_under_plain_names(
    tiny: BaseModel, copy_base: CopyBase, settings: Settings, tmp_path: Path
) -> None:
    folder = copy_base()
    for name in (ENCODER, UNET, VAE):
        _rename(folder, name, ".fp16.safetensors")
    with pytest.raises(BaseModelError, match=r"python3 course\.py base"):
        open_base(folder)
    prepared = prepare_base(folder)
    assert prepared.base.hash == tiny.hash
    assert "half-precision" in " ".join(prepared.notes)
    StableDiffusionPipeline.from_pretrained(prepared.write(tmp_path / "package").folder)


def test_a_full_variant_wins_and_a_mixture_is_refused(
    tiny: BaseModel, copy_base: CopyBase, settings: Settings
) -> None:
    folder = copy_base()
    for name in (ENCODER, UNET, VAE):
        full = folder / name
        full.with_suffix(".fp16.safetensors").write_bytes(full.read_bytes())
        full.with_suffix(".non_ema.safetensors").write_bytes(b"another")
    assert prepare_base(folder).base.hash == tiny.hash
    (folder / UNET).unlink()
    (folder / ENCODER).with_suffix(".fp16.safetensors").unlink()
    with pytest.raises(BaseModelError, match="no complete set"):
        prepare_base(folder)


def test_short_keys_of_the_text_encoder_become_long_ones(
    tiny: BaseModel, copy_base: CopyBase, settings: Settings, tmp_path: Path
) -> None:
    folder = copy_base()
    tensors = load_file(folder / ENCODER)
    save_file({bare(key): value for key, value in tensors.items()}, folder / ENCODER)
    prepared = prepare_base(folder)
    assert "prefix" in " ".join(prepared.notes)
    written = prepared.write(tmp_path / "package").folder / ENCODER
    assert all(key.startswith(PREFIX) for key in read_keys(written))
    found = load_file(written)
    assert all(found[key].equal(value) for key, value in tensors.items())
    assert not any(key.startswith(PREFIX) for key in read_keys(folder / ENCODER)), "is left alone"


@pytest.mark.parametrize("change", ["missing", "left over"])
def test_a_key_too_few_or_too_many_is_refused(
    copy_base: CopyBase, settings: Settings, change: str
) -> None:
    folder = copy_base()
    tensors = load_file(folder / ENCODER)
    first = min(tensors)
    if change == "missing":
        del tensors[first]
    else:
        tensors[f"{first}_too"] = tensors[first].clone()
    save_file(tensors, folder / ENCODER)
    with pytest.raises(BaseModelError, match="text encoder is damaged"):
        prepare_base(folder)


def test_a_safety_checker_stays_behind_and_the_pipeline_still_loads(
    copy_base: CopyBase, settings: Settings, tmp_path: Path
) -> None:
    folder = copy_base()
    edit(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
    )
    prepared = prepare_base(folder)
    assert "safety_checker" in " ".join(prepared.notes)
    StableDiffusionPipeline.from_pretrained(prepared.write(tmp_path / "package").folder)


@pytest.mark.parametrize("kind", ["", ".fp16"])
def test_a_pinned_safety_checker_comes_along_beside_the_pipeline(
    copy_base: CopyBase, register: Register, settings: Settings, tmp_path: Path, kind: str
) -> None:
    folder = copy_base()
    edit(folder / "model_index.json", safety_checker=["x", "StableDiffusionSafetyChecker"])
    weights = folder / CHECKER / f"model{kind}.safetensors"
    for path in (weights, folder / CHECKER / "config.json", folder / CHECKER / "pytorch_model.bin"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.name.encode())
    (folder / EXTRACTOR).mkdir()
    (folder / EXTRACTOR / "preprocessor_config.json").write_text("{}")
    pins = {"some": pins_of(folder)}
    entry = register(weights=pins, checker={"fp16": file_sha256(weights)})
    accept_licence(entry.id, by="a test", settings=settings)
    written = prepare_base(folder, base_id=entry.id).write(tmp_path / "package").folder
    assert {path.name for path in (written / CHECKER).iterdir()} == {
        "config.json", "model.safetensors",
    }  # fmt: skip
    assert StableDiffusionPipeline.from_pretrained(written).safety_checker is None
    assert prepare_base(written).base.hash == open_base(folder, base_id=entry.id).hash
    weights.write_bytes(b"another one")
    with pytest.raises(BaseModelError, match="is not the one of toy/base"):
        prepare_base(folder, base_id=entry.id)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"_class_name": "StableDiffusionXLPipeline"}, "two text encoders"),
        ({"_class_name": "FluxPipeline"}, "It is a FluxPipeline"),
        ({"text_encoder": ["transformers", "CLIPTextModelWithProjection"]}, "not a CLIPTextModel"),
        ({"tokenizer": [None, None]}, "tokenizer is not there"),
    ],
)
def test_a_pipeline_of_another_kind_is_refused(
    copy_base: CopyBase, settings: Settings, index: dict[str, object], message: str
) -> None:
    folder = copy_base()
    edit(folder / "model_index.json", **index)
    with pytest.raises(BaseModelError, match=message):
        prepare_base(folder)


def test_weights_that_nobody_confirmed_are_trusted_once_and_by_name(
    tiny: BaseModel, copy_base: CopyBase, register: Register, settings: Settings
) -> None:
    entry = register(weights={})
    accept_licence(entry.id)
    with pytest.raises(BaseModelError) as refused:
        prepare_base(tiny.folder, base_id=entry.id)
    for told in (*pins_of(tiny).values(), "nobody has confirmed", "--trust-weights"):
        assert told in str(refused.value).replace("Nobody", "nobody")
    trusted = prepare_base(tiny.folder, base_id=entry.id, trust=True)
    assert "trusted" in trusted.base.vouched
    assert prepare_base(tiny.folder, base_id=entry.id).base.id == entry.id
    changed = copy_base()
    data = bytearray((changed / VAE).read_bytes())
    data[-1] ^= 1
    (changed / VAE).write_bytes(data)
    with pytest.raises(BaseModelError, match="others than the ones you trusted before"):
        prepare_base(changed, base_id=entry.id)


def test_pinned_weights_cannot_be_trusted_away(
    tiny: BaseModel, register: Register, settings: Settings
) -> None:
    entry = register(weights={"fp32": dict.fromkeys(PARTS, "0" * 64)})
    accept_licence(entry.id)
    with pytest.raises(BaseModelError, match=r"is not toy/base.*Against its fp32 variant"):
        prepare_base(tiny.folder, base_id=entry.id, trust=True)
