from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from helpers.bases import BaseModel, accept_licence, base_hash, open_base
from helpers.bases.keys import bare
from helpers.bases.licences import MIT_0
from helpers.errors import BaseModelError
from helpers.settings import Settings
from helpers.tuning.networks import encode_text, load_networks
from tests.bases.conftest import Register, edit, pins_of

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
CopyBase = Callable[[], Path]


def test_a_folder_says_what_it_is(tiny: BaseModel) -> None:
    assert (tiny.id, tiny.resolution, tiny.prediction_type) == ("pocket", 64, "v_prediction")


def test_the_hash_is_the_weights_and_nothing_else(tiny: BaseModel, copy_base: CopyBase) -> None:
    folder = copy_base()
    (folder / "README.md").write_text("a card")
    (folder / "recipe.json").write_text("{}")
    assert base_hash(folder) == tiny.hash
    _flip_last_bit(folder / WEIGHTS)
    assert base_hash(folder) != tiny.hash


def test_the_prediction_type_comes_from_the_base_s_scheduler(
    copy_base: CopyBase, register: Register
) -> None:
    folder = copy_base()
    edit(folder / "scheduler/scheduler_config.json", prediction_type="epsilon")
    with pytest.raises(BaseModelError, match=r"epsilon.*matches no entry"):
        open_base(folder)
    register("toy/e", prediction_type="epsilon", ours=True, licence=MIT_0)
    assert (open_base(folder).prediction_type, open_base(folder).id) == ("epsilon", "toy/e")
    edit(folder / "scheduler/scheduler_config.json", prediction_type="sample")
    with pytest.raises(BaseModelError, match="predicts 'sample'"):
        open_base(folder)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("model_index.json", "There is no base model"),
        ("unet/config.json", "unet/config.json is missing"),
        ("scheduler", "scheduler_config.json is missing"),
        ("vae/diffusion_pytorch_model.safetensors", "no usable weights for vae"),
    ],
)
def test_an_incomplete_folder_is_refused(copy_base: CopyBase, part: str, message: str) -> None:
    gone = copy_base() / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(BaseModelError, match=message):
        open_base(gone.parents[len(Path(part).parts) - 1])


def test_pickled_weights_do_not_count(copy_base: CopyBase) -> None:
    folder = copy_base()
    (folder / WEIGHTS).rename(folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(BaseModelError, match="Only safetensors"):
        open_base(folder)


def test_a_base_of_unknown_shape_is_refused(copy_base: CopyBase) -> None:
    folder = copy_base()
    edit(folder / "unet/config.json", cross_attention_dim=768)
    with pytest.raises(BaseModelError, match="none that the course knows"):
        open_base(folder)


@pytest.mark.parametrize("part", ["text_encoder/model.safetensors", WEIGHTS])
def test_a_missing_or_left_over_weight_is_an_error_not_a_warning(
    copy_base: CopyBase, part: str
) -> None:
    folder = copy_base()
    tensors = load_file(folder / part)
    first = sorted(tensors)[0]
    save_file({f"{key}x" if key == first else key: value for key, value in tensors.items()},
              folder / part, metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(BaseModelError, match="damaged"):
        load_networks(open_base(folder))


def test_short_keys_of_the_text_encoder_are_the_same_encoder(
    tiny: BaseModel, copy_base: CopyBase
) -> None:
    folder = copy_base()
    path = folder / "text_encoder/model.safetensors"
    save_file({bare(key): value for key, value in load_file(path).items()}, path)
    networks = load_networks(open_base(folder))
    assert encode_text(networks, "a dog").equal(encode_text(load_networks(tiny), "a dog"))


def test_bases_of_one_shape_are_told_apart_by_their_weights(
    tiny: BaseModel, copy_base: CopyBase, register: Register, settings: Settings
) -> None:
    folder = copy_base()
    register("toy/same", weights={"fp16": pins_of(tiny)}, licence=MIT_0)
    register("toy/other", weights={"fp16": dict.fromkeys(pins_of(tiny), "0" * 64)})
    found = open_base(folder)
    assert found.id == "toy/same"
    assert "registry pins" in found.vouched
    _flip_last_bit(folder / WEIGHTS)
    with pytest.raises(BaseModelError, match=r"could be several.*pocket, toy/same, toy/other"):
        open_base(folder)
    assert open_base(folder, base_id="pocket").id == "pocket"
    with pytest.raises(BaseModelError, match=r"is not toy/same.*unet is [0-9a-f]{16} and should"):
        open_base(folder, base_id="toy/same")


def test_pinned_weights_under_another_configuration_are_refused(
    tiny: BaseModel, copy_base: CopyBase, register: Register
) -> None:
    """The trap of the original's notebook: the U-Net of one base, the scheduler of the other."""
    folder = copy_base()
    register("toy/e", weights={"fp16": pins_of(tiny)}, prediction_type="epsilon", licence=MIT_0)
    with pytest.raises(BaseModelError, match=r"weights of toy/e and not its configuration"):
        open_base(folder)
    edit(folder / "scheduler/scheduler_config.json", prediction_type="epsilon")
    assert open_base(folder).id == "toy/e"


def test_a_pipeline_of_another_kind_is_refused_with_the_reason(copy_base: CopyBase) -> None:
    folder = copy_base()
    edit(folder / "model_index.json", _class_name="StableDiffusionXLPipeline")
    edit(folder / "unet/config.json", cross_attention_dim=2048)
    with pytest.raises(BaseModelError, match="two text encoders"):
        open_base(folder)


def test_a_base_under_a_licence_opens_once_it_is_accepted(
    tiny: BaseModel, register: Register, settings: Settings
) -> None:
    entry = register(weights={"fp16": pins_of(tiny)})
    with pytest.raises(BaseModelError) as refused:
        open_base(tiny.folder)
    for told in (entry.licence.name, entry.licence.address, "accept_licence('toy/base')"):
        assert told in str(refused.value)
    accept_licence(entry.id)
    assert open_base(tiny.folder).id == entry.id


def _flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
