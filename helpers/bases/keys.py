"""Names of a text encoder's tensors, which changed between versions of transformers.

Up to 5.5 the encoder's keys begin with ``text_model.``; from 5.6 on it saves them without. Both
read the long form. Version 4 given the short one leaves every weight at random, with no more than
a warning. So whatever the course writes has the long form, and what it reads is mapped to it.

The names are read from the file's header: no weights are loaded, and nothing heavy is imported.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from helpers.errors import BaseModelError, fit_to_print
from helpers.strict_json import parse_object

PREFIX = "text_model."
_MOST_LAYERS = 100
_LARGEST_HEADER = 100 * 1024**2
_COUNTER = "embeddings.position_ids"
"""A buffer of counting numbers that old converters saved; both versions make it themselves."""


def prefixed(key: str) -> str:
    """A key in the form that every version reads."""
    return key if key.startswith(PREFIX) else PREFIX + key


def bare(key: str) -> str:
    """A key as transformers 5.6 and later save it."""
    return key.removeprefix(PREFIX)


def encoder_keys(config: Mapping[str, Any]) -> set[str]:
    """Every key of the ``CLIPTextModel`` of that configuration, prefixed.

    Raises ``BaseModelError`` where it names no plausible number of layers.
    """
    layers = config.get("num_hidden_layers")
    if not isinstance(layers, int) or not 1 <= layers <= _MOST_LAYERS:
        raise BaseModelError(
            "The base model's text encoder is damaged",
            f"num_hidden_layers of text_encoder/config.json is no number from 1 to {_MOST_LAYERS}",
            "Get the base model again",
        )
    pairs = [f"{layer}.{kind}" for layer in _LAYERS for kind in ("weight", "bias")]
    keys = {
        "embeddings.token_embedding.weight",
        "embeddings.position_embedding.weight",
        "final_layer_norm.weight",
        "final_layer_norm.bias",
        *(f"encoder.layers.{number}.{pair}" for number in range(layers) for pair in pairs),
    }
    return {prefixed(key) for key in keys}


_LAYERS = (
    *(f"self_attn.{part}_proj" for part in "qkv"),
    "self_attn.out_proj", "layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2",
)  # fmt: skip


def check_encoder(keys: Iterable[str], config: Mapping[str, Any]) -> None:
    """Raise ``BaseModelError`` unless ``keys``, in either form, are all of the encoder's.

    One missing, one left over or one of each form is enough.
    """
    found = set(keys)
    forms = {key.startswith(PREFIX) for key in found}
    mapped = {prefixed(key) for key in found} - {prefixed(_COUNTER)}
    wanted = encoder_keys(config)
    if mapped == wanted and len(forms) == 1:
        return
    missing, left_over = wanted - mapped, mapped - wanted
    if missing or left_over:
        first = sorted(missing or left_over)[0]
        shown = fit_to_print(first, 120)
        why = f"{len(missing)} weights are missing, {len(left_over)} left over, such as {shown}"
    else:
        why = f"some of its keys begin with {PREFIX} and some do not"
    raise BaseModelError(
        "The base model's text encoder is damaged", why, "Get the base model again"
    )


def read_keys(path: Path) -> list[str]:
    """The names of the tensors in a safetensors file. Raises ``BaseModelError`` if it is none."""
    return [key for key in _header(path)[0] if key != "__metadata__"]


def write_prefixed(source: Path, target: Path) -> None:
    """Copy a safetensors file with every key prefixed; the tensors' bytes stay as they are.

    The file appears under its name only when it is complete. Raises ``BaseModelError``.
    """
    header, begin = _header(source)
    renamed = {
        key if key == "__metadata__" else prefixed(key): value for key, value in header.items()
    }
    text = json.dumps(renamed, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    partial = target.with_name(f".{target.name}.part")
    with source.open("rb") as old, partial.open("wb") as new:
        new.write(len(text).to_bytes(8, "little") + text)
        old.seek(begin)
        shutil.copyfileobj(old, new, 1024**2)
    os.replace(partial, target)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where the tensors begin."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= min(_LARGEST_HEADER, path.stat().st_size - 8):
                raise ValueError
            header = parse_object(file.read(size), at_most=_LARGEST_HEADER)
            if header and not all(isinstance(entry, dict) for entry in header.values()):
                raise ValueError
    except (OSError, ValueError):
        raise BaseModelError(
            f"{path.parent.name}/{path.name} is no safetensors file",
            "Its header cannot be read",
            "Get the base model again",
        ) from None
    return header, 8 + size
