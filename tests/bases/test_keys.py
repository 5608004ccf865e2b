from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from helpers.bases.keys import (
    bare,
    check_encoder,
    encoder_keys,
    prefixed,
    read_keys,
    write_prefixed,
)
from helpers.bases.shape import read_config
from helpers.errors import BaseModelError

NAMES = st.from_regex(r"[a-z_]{1,8}(\.[a-z0-9_]{1,8}){0,3}", fullmatch=True)
CONFIG = {"num_hidden_layers": 2}


@given(key=NAMES)
def test_both_forms_lead_to_each_other(key: str) -> None:
    long = prefixed(key)
    assert long == prefixed(long) == prefixed(bare(long))
    assert bare(long) == bare(key)


def test_the_keys_of_an_encoder_follow_from_its_configuration(pocket: Path) -> None:
    found = read_keys(pocket / "text_encoder" / "model.safetensors")
    assert set(found) == encoder_keys(read_config(pocket, "text_encoder/config.json"))


@pytest.mark.parametrize("form", [prefixed, bare])
@given(data=st.data())
def test_one_key_too_few_or_too_many_is_found(form, data: st.DataObject) -> None:
    keys = {form(key) for key in encoder_keys(CONFIG)}
    check_encoder(keys, CONFIG)
    check_encoder({*keys, form("embeddings.position_ids")}, CONFIG)
    gone = data.draw(st.sampled_from(sorted(keys)))
    with pytest.raises(BaseModelError, match="1 weights are missing, 0 left over"):
        check_encoder(keys - {gone}, CONFIG)
    stray = data.draw(NAMES.filter(lambda name: form(name) not in keys))
    with pytest.raises(BaseModelError, match="0 weights are missing, 1 left over"):
        check_encoder({*keys, form(f"{stray}.x")}, CONFIG)


def test_keys_of_both_forms_in_one_file_are_refused() -> None:
    first, *others = sorted(encoder_keys(CONFIG))
    with pytest.raises(BaseModelError, match="ome of its keys begin"):
        check_encoder([bare(first), *others], CONFIG)


@given(shapes=st.dictionaries(NAMES, st.lists(st.integers(0, 3), max_size=3), min_size=1))
def test_renaming_keeps_every_tensor(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    tensors = {key: torch.randn(shape).half() for key, shape in shapes.items()}
    save_file(tensors, folder / "short", metadata={"format": "pt"})
    write_prefixed(folder / "short", folder / "long")
    found = load_file(folder / "long")
    assert found.keys() == {prefixed(key) for key in tensors}
    assert all(torch.equal(found[prefixed(key)], value) for key, value in tensors.items())


@pytest.mark.parametrize("data", [b"", b"\x00" * 9, b"\xff" * 20, b"\x02" + b"\x00" * 7 + b"[]"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(BaseModelError, match="no safetensors file"):
        read_keys(tmp_path / "model.safetensors")
