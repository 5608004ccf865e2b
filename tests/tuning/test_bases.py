from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from helpers.bases import BaseModel, base_hash, open_base
from helpers.errors import BaseModelError
from helpers.tuning.networks import load_networks

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
CopyBase = Callable[[], Path]


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_says_what_it_is(tiny: BaseModel) -> None:
    assert (tiny.id, tiny.resolution, tiny.prediction_type) == ("pocket", 64, "epsilon")


def test_the_hash_is_the_weights_and_nothing_else(tiny: BaseModel, copy_base: CopyBase) -> None:
    folder = copy_base()
    (folder / "README.md").write_text("a card")
    (folder / "recipe.json").write_text("{}")
    assert base_hash(folder) == tiny.hash
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    assert base_hash(folder) != tiny.hash


def test_the_prediction_type_comes_from_the_base_s_scheduler(copy_base: CopyBase) -> None:
    folder = copy_base()
    _edit(folder / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    assert open_base(folder).prediction_type == "v_prediction"
    _edit(folder / "scheduler/scheduler_config.json", prediction_type="sample")
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
    _edit(folder / "unet/config.json", cross_attention_dim=768)
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
