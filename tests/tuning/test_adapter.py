from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from helpers.archives import pack
from helpers.bases import BaseModel, file_sha256
from helpers.errors import AdapterError, ArchiveError
from helpers.tuning.adapter import (
    EMBEDDINGS,
    MANIFEST,
    WEIGHTS,
    Adapter,
    check_base,
    load_adapter,
    pack_adapter,
    read_adapter,
    unpack_adapter,
    write_adapter,
)
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.loop import train
from helpers.tuning.networks import encode_text, load_networks

STRONG = {"n_steps": 8, "learning_rate": 0.05, "train_text_encoder": True}
# alpha differs from rank, and differs between the networks: both must survive.
STRENGTHS = {"lora_r": 8, "lora_alpha": 3, "lora_text_encoder_r": 4, "lora_text_encoder_alpha": 10}


@pytest.fixture(scope="module")
def made(
    tiny: BaseModel, photos: list[Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> Adapter:
    """An adapter with a trained text encoder. Do not change its files."""
    config = FineTuneConfig.for_base(
        tiny, batch_size=2, num_class_images=2, concept_prompt="photo of <<TOK>>",
        **STRONG, **STRENGTHS,
    )  # fmt: skip
    out = tmp_path_factory.mktemp("made") / "adapter"
    return fine_tune(photos, config, tiny, out, class_images=photos)


@pytest.fixture
def copied(made: Adapter, tmp_path: Path) -> Path:
    """A copy of its folder to damage."""
    import shutil

    return Path(shutil.copytree(made.folder, tmp_path / "copy"))


def _plain(
    base: BaseModel, folder: Path | None = None, *, words: bool = True
) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(base.folder)
    pipe.set_progress_bar_config(disable=True)
    if folder:
        pipe.load_lora_weights(folder)
        if words:
            pipe.load_textual_inversion(str(folder), weight_name=EMBEDDINGS)
    return pipe


def _paint(pipe: StableDiffusionPipeline) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    painted = pipe("a <<TOK>>", num_inference_steps=3, generator=generator, output_type="np")
    return torch.tensor(painted.images)


def test_plain_diffusers_loads_what_was_trained(
    tiny: BaseModel, photos: list[Image.Image], made: Adapter
) -> None:
    """Outputs of the trained networks and of a loaded pipeline agree, strengths included."""
    config = FineTuneConfig.from_mapping(made.manifest.configuration)
    networks = load_networks(tiny)
    for _ in train(networks, config, photos, photos):
        pass
    pipe = _plain(tiny, made.folder)
    noise, time = torch.randn(1, 4, 16, 16), torch.tensor([300])
    with torch.no_grad():
        wanted_text = encode_text(networks, "<<TOK>>")
        ids = pipe.tokenizer("<<TOK>>", padding="max_length", return_tensors="pt").input_ids
        text = pipe.text_encoder(ids)[0]
        wanted = networks.unet(noise, time, wanted_text).sample
        found = pipe.unet(noise, time, text).sample
        bare = _plain(tiny)
        ids = bare.tokenizer("<<TOK>>", padding="max_length", return_tensors="pt").input_ids
        bare_text = bare.text_encoder(ids)[0]
        off = bare.unet(noise, time, bare_text).sample
    # Half precision in the file; the adapter's own effect is some hundred times larger.
    assert (text - wanted_text).abs().max() < 0.01 * (bare_text - wanted_text).abs().max()
    assert (found - wanted).abs().max() < 0.01 * (off - wanted).abs().max()


def test_both_parts_of_the_adapter_change_the_picture(tiny: BaseModel, made: Adapter) -> None:
    pipe = _plain(tiny, made.folder, words=False)
    both = _paint(pipe)
    pipe.text_encoder.disable_adapters()
    unet_only = _paint(pipe)
    pipe.unet.disable_adapters()
    neither = _paint(pipe)
    assert (both - unet_only).abs().max() > 0.01
    assert (unet_only - neither).abs().max() > 0.01
    assert torch.equal(neither, _paint(_plain(tiny)))


def test_the_learned_word_is_one_that_plain_diffusers_reads(tiny: BaseModel, made: Adapter) -> None:
    (rows,) = load_file(made.folder / EMBEDDINGS).values()
    pipe = _plain(tiny, made.folder)
    (number,) = pipe.tokenizer("<<TOK>>", add_special_tokens=False).input_ids
    assert torch.equal(pipe.text_encoder.get_input_embeddings().weight[number], rows[0])
    without = _paint(_plain(tiny, made.folder, words=False))
    assert (_paint(pipe) - without).abs().max() > 0.01


def test_one_call_puts_the_whole_adapter_on_a_pipeline(tiny: BaseModel, made: Adapter) -> None:
    pipe = _plain(tiny)
    load_adapter(pipe, made.folder)
    assert torch.equal(_paint(pipe), _paint(_plain(tiny, made.folder)))


def test_text_encoder_keys_carry_the_prefix_that_every_loader_reads(made: Adapter) -> None:
    keys = load_file(made.folder / WEIGHTS)
    texts = [key for key in keys if not key.startswith("unet.")]
    assert texts
    assert all(key.startswith("text_encoder.text_model.encoder.layers.") for key in texts)


def test_the_manifest_says_how_it_was_made(tiny: BaseModel, made: Adapter) -> None:
    manifest = read_adapter(made.folder).manifest
    assert manifest == made.manifest
    assert (manifest.base_model, manifest.base_hash) == (tiny.id, tiny.hash)
    assert (manifest.prediction_type, manifest.resolution) == ("v_prediction", 64)
    assert (manifest.rank, manifest.alpha) == (8, 3)
    assert (manifest.text_encoder_rank, manifest.text_encoder_alpha) == (4, 10)
    assert (manifest.prompt, manifest.token, manifest.class_noun) == (
        "photo of <<TOK>>", "<<TOK>>", "person",
    )  # fmt: skip
    assert manifest.targets["unet"] == ["to_q", "to_k", "to_v", "to_out.0"]
    assert manifest.sha256 == file_sha256(made.folder / WEIGHTS)
    assert {"torch", "diffusers", "transformers", "peft"} <= manifest.versions.keys()
    assert manifest.metrics["images"] == 3
    assert any("does not name the class" in text for text in manifest.warnings)


def test_the_same_training_gives_the_same_bytes(
    tiny: BaseModel, photos: list[Image.Image], made: Adapter, tmp_path: Path
) -> None:
    config = FineTuneConfig.from_mapping(made.manifest.configuration)
    again = fine_tune(photos, config, tiny, tmp_path / "again", class_images=photos)
    first = pack_adapter(made.folder, tmp_path / "first.tar.gz")
    second = pack_adapter(again.folder, tmp_path / "second.tar.gz")
    assert first.read_bytes() == second.read_bytes()


def test_packed_and_unpacked_it_is_the_same(made: Adapter, tmp_path: Path) -> None:
    archive = pack_adapter(made.folder, tmp_path / "adapter.tar.gz")
    found = unpack_adapter(archive.read_bytes(), tmp_path / "into")
    assert found.manifest == made.manifest
    assert found.size == made.size


def test_an_archive_with_anything_else_in_it_is_refused(made: Adapter, tmp_path: Path) -> None:
    members = {name: made.folder / name for name in (WEIGHTS, MANIFEST)}
    archive = pack({**members, "model.py": b"print('code')"}, tmp_path / "evil.tar.gz")
    with pytest.raises(ArchiveError, match=r"model\.py"):
        unpack_adapter(archive.read_bytes(), tmp_path / "into")


@pytest.mark.parametrize("place", [0, 9, -1])
def test_an_altered_byte_of_the_weights_is_found(copied: Path, place: int) -> None:
    data = bytearray((copied / WEIGHTS).read_bytes())
    data[place] ^= 1
    (copied / WEIGHTS).write_bytes(data)
    with pytest.raises(AdapterError, match=f"{WEIGHTS} is not the file"):
        read_adapter(copied)


def _edit_manifest(folder: Path, **changes: object) -> None:
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST])
def test_a_missing_file_is_found(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(AdapterError):
        read_adapter(copied)


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": 16},
        {"text_encoder_rank": None},
        {"format": 2},
        {"base_hash": 5},
        {"embeddings_sha256": "0" * 64},
        {"embeddings_sha256": None},
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(copied: Path, changes: dict[str, object]) -> None:
    _edit_manifest(copied, **changes)
    with pytest.raises(AdapterError):
        read_adapter(copied)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "null"])
def test_a_manifest_that_is_none_is_refused(copied: Path, text: str) -> None:
    (copied / MANIFEST).write_text(text)
    with pytest.raises(AdapterError, match="not an adapter"):
        read_adapter(copied)


def test_learned_words_must_be_in_the_manifest(copied: Path) -> None:
    _edit_manifest(copied, embeddings_sha256=None)
    with pytest.raises(AdapterError, match="not in its manifest"):
        read_adapter(copied)
    _edit_manifest(copied, embeddings_sha256=file_sha256(copied / EMBEDDINGS))
    assert read_adapter(copied).manifest.embeddings_sha256


def test_a_link_in_place_of_a_file_is_refused(copied: Path) -> None:
    (copied / WEIGHTS).rename(copied.parent / "elsewhere")
    os.symlink(copied.parent / "elsewhere", copied / WEIGHTS)
    with pytest.raises(AdapterError, match="missing"):
        read_adapter(copied)


@pytest.mark.parametrize("key", ["unet.x.lora_A.bias", "unet.x.weight", "vae.x.lora_A.weight"])
def test_tensors_that_diffusers_would_pass_over_are_refused(copied: Path, key: str) -> None:
    save_file({**load_file(copied / WEIGHTS), key: torch.ones(8, 4)}, copied / WEIGHTS)
    _edit_manifest(copied, sha256=file_sha256(copied / WEIGHTS))
    with pytest.raises(AdapterError, match="does not fit its manifest"):
        read_adapter(copied)


def test_an_adapter_of_another_base_is_refused(tiny: BaseModel, made: Adapter) -> None:
    check_base(made, tiny)
    for other in (replace(tiny, hash="0" * 64), replace(tiny, prediction_type="epsilon")):
        with pytest.raises(AdapterError, match="another base"):
            check_base(made, other)


@pytest.mark.promise(
    "An adapter is never half written",
    fault="tensors that do not fit, NaN in weights or metrics",
    outcome="the adapter before stands; no stray file",
)
def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(
    tiny: BaseModel, made: Adapter, copied: Path
) -> None:
    facts = {
        name: getattr(made.manifest, name)
        for name in made.manifest.__dataclass_fields__
        if name not in {"format", "base_model", "base_hash", "prediction_type", "sha256"}
    }
    tensors = load_file(copied / WEIGHTS)
    faults: list[Callable[[], object]] = [
        lambda: write_adapter({"unet.x": tensors[min(tensors)]}, copied, base=tiny, **facts),
        lambda: write_adapter(
            {key: value * torch.nan for key, value in tensors.items()}, copied, base=tiny, **facts
        ),
        lambda: write_adapter(
            tensors, copied, base=tiny, **{**facts, "metrics": {"x": float("nan")}}
        ),
    ]
    for fault in faults:
        with pytest.raises((AdapterError, ValueError)):
            fault()
        assert read_adapter(copied).manifest == made.manifest
        assert [path.name for path in copied.parent.iterdir()] == [copied.name]
    replaced = write_adapter(tensors, copied, base=tiny, **{**facts, "prompt": "another"})
    assert read_adapter(copied).manifest.prompt == replaced.manifest.prompt == "another"
