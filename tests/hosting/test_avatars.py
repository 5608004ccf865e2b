"""The shelf of adapters: checked once, gone and back again, and never another's numbers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.bases import BaseModel, file_sha256, open_base
from helpers.bench.hosting_avatars import write_random_adapter
from helpers.errors import AdapterError
from helpers.hosting import avatars
from helpers.hosting.avatars import AvatarShelf
from helpers.tuning.adapter import MANIFEST, WEIGHTS, read_adapter

LAYERS = {"a.to_q": (8, 8), "b.to_k": (16, 8)}


@pytest.fixture(scope="module")
def base(small_base: Path) -> BaseModel:
    return open_base(small_base)


@pytest.fixture
def folders(base: BaseModel, tmp_path: Path) -> list[Path]:
    return [write_random_adapter(tmp_path / f"{n}", base, LAYERS, n) for n in range(4)]


@pytest.fixture
def shelf(base: BaseModel, folders: list[Path]) -> AvatarShelf:
    """Room for two."""
    size = AvatarShelf(base, torch.float32).get(folders[0]).size
    return AvatarShelf(base, torch.float32, room=2 * size)


def test_what_left_comes_back_the_same_without_being_checked_again(
    shelf: AvatarShelf, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(
        avatars, "read_adapter", lambda one: checked.append(one) or read_adapter(one)
    )
    first = [shelf.get(one) for one in folders]
    again = [shelf.get(one) for one in folders]
    assert checked == folders and len(tuple(shelf)) == 2
    for before, after in zip(first, again, strict=True):
        assert before is not after and before.layout is after.layout
        assert before.identity == after.identity and before.flat.equal(after.flat)


@pytest.mark.parametrize("quietly", [False, True])
def test_a_file_that_changed_since_is_checked_again(
    shelf: AvatarShelf, folders: list[Path], quietly: bool
) -> None:
    for one in folders:
        shelf.get(one)
    weights, about = folders[0] / WEIGHTS, os.stat(folders[0] / WEIGHTS)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    with weights.open("r+b") as file:
        file.write(data)
    if quietly:  # its size and its time of writing are as they were
        os.utime(weights, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(AdapterError, match="not the file that its manifest names"):
        shelf.get(folders[0])


def test_another_adapter_in_the_same_folder_is_seen(
    shelf: AvatarShelf, folders: list[Path]
) -> None:
    before = shelf.get(folders[0])
    for one in folders[1:3]:
        shelf.get(one)
    for name in (MANIFEST, WEIGHTS):
        shutil.copy(folders[3] / name, folders[0] / name)
    after = shelf.get(folders[0])
    assert after.identity != before.identity and not after.flat.equal(before.flat)
    shutil.rmtree(folders[0])
    for one in folders[1:3]:
        shelf.get(one)
    with pytest.raises(AdapterError, match=r"adapter\.json is missing"):
        shelf.get(folders[0])


def test_a_file_in_another_order_gives_the_same_numbers(
    base: BaseModel, folders: list[Path], tmp_path: Path
) -> None:
    tensors = load_file(folders[0] / WEIGHTS)
    other = shutil.copytree(folders[0], tmp_path / "other")
    # Mixed precision: safetensors sorts by size of number first, so B of one layer stands apart.
    odd = max(tensors)
    tensors[odd] = tensors[odd].float()
    save_file(tensors, other / WEIGHTS, metadata={"format": "pt"})
    text = (other / MANIFEST).read_text().replace(
        file_sha256(folders[0] / WEIGHTS), file_sha256(other / WEIGHTS)
    )  # fmt: skip
    (other / MANIFEST).write_text(text)
    shelf = AvatarShelf(base, torch.float32)
    plain, mixed = shelf.get(folders[0]), shelf.get(other)
    assert mixed.layout is plain.layout and mixed.identity != plain.identity
    assert mixed.flat.float().equal(plain.flat.float())
