"""Forged files: whatever an attacker, or a broken tool, could hand in."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save

from helpers.bases.keys import encoder_keys
from helpers.bases.registry import POCKET
from helpers.tuning.adapter import EMBEDDINGS, MANIFEST, WEIGHTS

MIB = 1024**2


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def tar(*members: tuple[tarfile.TarInfo | str, bytes], compress: bool = True) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            info = member(info) if isinstance(info, str) else info
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), 1) if compress else raw.getvalue()


def with_note(size: int) -> bytes:
    """A gzipped tar whose first member is a pax header of that many bytes."""
    info = tarfile.TarInfo("note")
    info.type, info.size = tarfile.XHDTYPE, size
    return gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(size + 10_240), 1)


def picture(format: str = "JPEG", size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    buffer = io.BytesIO()
    gradient = Image.linear_gradient("L").resize(size).convert("RGB")
    gradient.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int, *, text: bytes = b"") -> bytes:
    """A PNG of a few bytes that claims that many pixels, or carries that text, compressed."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    note = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(text)) if text else b""
    rows = zlib.compress(bytes(min((3 * width + 1) * height, MIB)))
    body = chunk(b"IHDR", header) + note + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file of that header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    return size.to_bytes(8, "little") + text + data


LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def weights(**changes: Any) -> dict[str, Any]:
    """The tensors of a small adapter of rank 4; ``changes`` of ``A`` and ``B``."""
    usual = {"A": np.ones((4, 8), np.float16), "B": np.ones((8, 4), np.float16)}
    return {f"{LAYER}.lora_{key}.weight": value for key, value in (usual | changes).items()}


def adapter(
    weight_file: bytes | None = None, words: bytes | None = None, **facts: Any
) -> dict[str, bytes]:
    """The files of an adapter whose manifest vouches for its weights, whatever they are.

    A fact that is ``...`` is left out.
    """
    weight_file = save(weights()) if weight_file is None else weight_file
    manifest: dict[str, Any] = {
        "format": 1, "base_model": "pocket", "base_hash": "0" * 64, "prediction_type": "epsilon",
        "resolution": 64, "rank": 4, "alpha": 4.0, "text_encoder_rank": None,
        "text_encoder_alpha": None, "targets": {"unet": ["to_q"]}, "prompt": "a photo of x dog",
        "token": "x", "class_noun": "dog", "configuration": {}, "seed": 0, "versions": {},
        "metrics": {}, "warnings": [], "sha256": hashlib.sha256(weight_file).hexdigest(),
        "embeddings_sha256": hashlib.sha256(words).hexdigest() if words is not None else None,
        "subjects": [],
    }  # fmt: skip
    manifest = {key: fact for key, fact in (manifest | facts).items() if fact is not ...}
    files = {WEIGHTS: weight_file, MANIFEST: json.dumps(manifest).encode()}
    return files if words is None else {**files, EMBEDDINGS: words}


def base(**changes: bytes) -> dict[str, bytes]:
    """The files of a base that reads as the pocket. In names of ``changes``, ``__`` is a slash."""
    encoder = {key: np.ones(1, np.float32) for key in encoder_keys({"num_hidden_layers": 1})}
    network = save({"weight": np.ones(1, np.float32)})
    parts = {
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    doublings = (POCKET.resolution // POCKET.latent_side).bit_length()
    unet = {"cross_attention_dim": POCKET.text_width, "sample_size": POCKET.latent_side}
    texts: Mapping[str, object] = {
        "model_index.json": {"_class_name": "StableDiffusionPipeline", **parts},
        "unet/config.json": unet,
        "vae/config.json": {"block_out_channels": [16] * doublings},
        "scheduler/scheduler_config.json": {"prediction_type": POCKET.prediction_type},
        "text_encoder/config.json": {"num_hidden_layers": 1},
        "tokenizer/vocab.json": {},
    }
    files = {name: json.dumps(text).encode() for name, text in texts.items()}
    files["text_encoder/model.safetensors"] = save(encoder)
    files["unet/diffusion_pytorch_model.safetensors"] = network
    files["vae/diffusion_pytorch_model.safetensors"] = network
    return files | {name.replace("__", "/"): content for name, content in changes.items()}


def written(files: Mapping[str, bytes], folder: Path) -> Path:
    """The files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
