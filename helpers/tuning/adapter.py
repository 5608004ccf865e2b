"""The adapter: what a training hands over. Data, a manifest that explains it, and no code.

    pytorch_lora_weights.safetensors   plain ``pipe.load_lora_weights(folder)`` reads it
    adapter.json                       the manifest
    learned_embeds.safetensors         only if the training learned words of its own

The same training gives the same bytes, so publishing twice changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.bases import BaseModel, file_sha256
from helpers.errors import AdapterError, ArchiveError, fit_to_print
from helpers.strict_json import parse_object
from helpers.tuning.durable import fresh_folder
from helpers.tuning.tensor_file import TensorFile

if TYPE_CHECKING:
    import torch

WEIGHTS = "pytorch_lora_weights.safetensors"
MANIFEST = "adapter.json"
EMBEDDINGS = "learned_embeds.safetensors"
FORMAT = 1
LARGEST_ARCHIVE = 1024**3
LARGEST_MANIFEST = 16 * 1024**2
LONGEST_TEXT, MOST = 2000, 1e9

_KEY = re.compile(r"(unet|text_encoder\.text_model)\.[\w.]+\.lora_(A|B)\.weight")


@dataclass(frozen=True, kw_only=True)
class AdapterManifest:
    """What an adapter is, for which base, and how it was made.

    ``prompt``, ``token`` and ``class_noun`` are those of the first of its ``subjects``.

    ``rank`` and ``alpha`` are those of the training (text encoder: ``None`` if it was frozen).
    The strength ``alpha / rank`` is folded into the weights, so a loader must not apply it again.
    ``sha256`` is the weight file's; ``embeddings_sha256`` that of the learned words, if any.
    """

    format: int
    base_model: str
    base_hash: str
    prediction_type: str
    resolution: int
    rank: int
    alpha: float
    text_encoder_rank: int | None
    text_encoder_alpha: float | None
    targets: dict[str, list[str]]
    prompt: str
    token: str
    class_noun: str
    configuration: dict[str, Any]
    seed: int
    versions: dict[str, str]
    metrics: dict[str, Any]
    warnings: list[str]
    sha256: str
    embeddings_sha256: str | None = None
    subjects: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter on disk whose files are those of its manifest."""

    folder: Path
    manifest: AdapterManifest

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.folder.iterdir())


def write_adapter(
    tensors: Mapping[str, torch.Tensor],
    out: Path,
    *,
    base: BaseModel,
    embeddings: Mapping[str, torch.Tensor] | None = None,
    **facts: Any,
) -> Adapter:
    """Write an adapter to the folder ``out``; what stood there before is replaced.

    ``embeddings`` are the words it learned, each of shape ``(count, width)``; ``facts`` are the
    manifest's other fields. The folder appears complete or not at all. Raises
    ``AdapterError`` for tensors that plain diffusers would not read, or that are not finite.
    """
    from safetensors.torch import save_file

    learned = dict(embeddings or {})
    whole = {**tensors, **learned}
    if broken := [key for key, value in whole.items() if not value.isfinite().all()]:
        raise AdapterError(
            "The adapter cannot be written", f"{len(broken)} of its tensors are not finite"
        )
    with fresh_folder(out) as fresh:
        fresh.mkdir()
        save_file(dict(tensors), fresh / WEIGHTS, metadata={"format": "pt"})
        if learned:
            save_file(learned, fresh / EMBEDDINGS, metadata={"format": "pt"})
        manifest = AdapterManifest(
            format=FORMAT,
            base_model=base.id,
            base_hash=base.hash,
            prediction_type=base.prediction_type,
            sha256=file_sha256(fresh / WEIGHTS),
            **{
                **facts,
                "embeddings_sha256": file_sha256(fresh / EMBEDDINGS) if learned else None,
            },
        )
        text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
        read_adapter(fresh)
    return Adapter(folder=Path(out), manifest=manifest)


def read_adapter(folder: Path) -> Adapter:
    """Read the manifest and check every file against it.

    Raises ``AdapterError`` when a file is missing, altered or does not belong there, and when the
    weights are none that plain diffusers would apply to a U-Net and a text encoder.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder / MANIFEST)
    expected = {WEIGHTS: manifest.sha256, EMBEDDINGS: manifest.embeddings_sha256}
    for name, digest in expected.items():
        file = folder / name
        if file.is_symlink() or file.is_file() != (digest is not None):
            state = "missing" if digest else "not in its manifest"
            raise AdapterError("The adapter is damaged", f"{name} is {state}", _AGAIN)
        if digest and file_sha256(file) != digest:
            raise AdapterError(
                "The adapter is damaged", f"{name} is not the file that its manifest names", _AGAIN
            )
    _check_weights(folder / WEIGHTS, manifest)
    if manifest.embeddings_sha256:
        _check_words(folder / EMBEDDINGS)
    return Adapter(folder=folder, manifest=manifest)


def check_base(adapter: Adapter, base: BaseModel) -> None:
    """Raise ``AdapterError`` unless the adapter was made for exactly this base."""
    made = adapter.manifest
    if (made.base_hash, made.prediction_type) != (base.hash, base.prediction_type):
        raise AdapterError(
            "The adapter was made for another base model",
            f"It belongs to {fit_to_print(made.base_model)} {made.base_hash[:12]} "
            f"({fit_to_print(made.prediction_type)}), "
            f"this is {base.id} {base.hash[:12]} ({base.prediction_type})",
            "Fine-tune again on this base, or serve it with its own",
        )


def learned_words(folder: Path) -> list[dict[str, torch.Tensor]]:
    """The words of the adapter in ``folder``, each as ``load_textual_inversion`` takes it.

    The file of an adapter with one word can be given to it as it is; of several it takes each on
    its own.
    """
    from safetensors.torch import load_file

    file = Path(folder) / EMBEDDINGS
    return [{word: rows} for word, rows in load_file(file).items()] if file.exists() else []


def load_adapter(pipe: Any, folder: Path) -> None:
    """Put an adapter on a ``StableDiffusionPipeline``: its weights, and the words it learned.

    Nothing here but two calls of plain diffusers; without the second, a learned identifier would
    be read letter by letter. Raises ``AdapterError`` for a damaged adapter.
    """
    read_adapter(folder)
    pipe.load_lora_weights(folder, weight_name=WEIGHTS)
    for word in learned_words(folder):
        pipe.load_textual_inversion(word)


def pack_adapter(folder: Path, path: Path) -> Path:
    """Write the adapter's archive (``.tar.gz``), the same bytes each time.

    Raises ``AdapterError`` for a damaged adapter.
    """
    from helpers.archives import pack

    read_adapter(folder)
    members = {name: Path(folder) / name for name in (WEIGHTS, MANIFEST, EMBEDDINGS)}
    return pack({name: file for name, file in members.items() if file.exists()}, path)


def unpack_adapter(data: bytes | Path, into: Path) -> Adapter:
    """Unpack an adapter's archive into the folder ``into`` and check it.

    Raises ``ArchiveError`` for an unsafe archive and ``AdapterError`` for a damaged adapter.
    """
    from helpers.archives import unpack

    names = unpack(data, into, limit_bytes=LARGEST_ARCHIVE, limit_members=8)
    if stray := sorted(set(names) - {WEIGHTS, MANIFEST, EMBEDDINGS}):
        raise ArchiveError(
            "The archive is not an adapter's",
            f"It holds {fit_to_print(stray[0], 120)}, which no adapter has",
            _AGAIN,
        )
    return read_adapter(into)


_AGAIN = "Get it again, or repeat the fine-tuning"


def _read_manifest(path: Path) -> AdapterManifest:
    if path.is_symlink() or not path.is_file():
        raise AdapterError("This is not an adapter", f"{MANIFEST} is missing", _AGAIN)
    try:
        given = parse_object(path.read_bytes(), at_most=LARGEST_MANIFEST)
    except (OSError, ValueError) as trouble:
        why = f"{MANIFEST} is unreadable: {trouble}"
        raise AdapterError("This is not an adapter", why, _AGAIN) from None
    for one in fields(AdapterManifest):
        optional = one.name in ("embeddings_sha256", "subjects")
        if one.name not in given and optional:
            continue
        if one.name not in given or not _is_a(str(one.type), given[one.name]):
            why = f"{MANIFEST} is incomplete: {one.name} is missing or of another kind"
            raise AdapterError("This is not an adapter", why, _AGAIN)
    # Fields that a later version may add are passed over.
    known = {one.name for one in fields(AdapterManifest)}
    manifest = AdapterManifest(**{key: given[key] for key in given if key in known})
    if manifest.format != FORMAT:
        raise AdapterError(
            "The adapter cannot be read",
            f"Its format is {fit_to_print(manifest.format)}, this course reads {FORMAT}",
            "Use the version of the course that made it",
        )
    return manifest


def _is_a(kind: str, value: Any) -> bool:
    """Whether a value that JSON brought is what a field's annotation says."""
    if kind.endswith(" | None"):
        return value is None or _is_a(kind.removesuffix(" | None"), value)
    if kind == "str":  # it ends up in messages, keys and prompts
        return isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable()
    if kind == "int":
        return type(value) is int and value >= 0
    if kind == "float":
        return type(value) in (int, float) and 0 <= value <= MOST
    if kind == "Any":
        return True
    inner = kind.partition("[")[2].removesuffix("]")
    if kind.startswith("list["):
        return isinstance(value, list) and all(_is_a(inner, one) for one in value)
    value_kind = inner.partition(", ")[2]
    return isinstance(value, dict) and all(_is_a(value_kind, one) for one in value.values())


def _check_weights(path: Path, manifest: AdapterManifest) -> None:
    shapes = TensorFile(path=path, next=_AGAIN).shapes()
    ranks = {"unet": manifest.rank, "text_encoder.text_model": manifest.text_encoder_rank}
    for key, shape in shapes.items():
        found = _KEY.fullmatch(key)
        # A is rank x inputs, B is outputs x rank.
        place, other = (0, "B") if found and found[2] == "A" else (1, "A")
        pair = re.sub(r"\.lora_[AB]\.", f".lora_{other}.", key)
        if not found or pair not in shapes or len(shape) != 2 or shape[place] != ranks[found[1]]:
            why = f"Its tensor {fit_to_print(key, 120)} does not fit its manifest"
            raise AdapterError("The adapter is damaged", why, _AGAIN)
    if not shapes:
        raise AdapterError("The adapter is empty", "It holds no tensors", _AGAIN)


def _check_words(path: Path) -> None:
    shapes = TensorFile(path=path, next=_AGAIN).shapes()
    widths = {shape[-1] for shape in shapes.values() if len(shape) == 2}
    odd = [word for word, shape in shapes.items() if len(shape) != 2 or not word.isprintable()]
    if not shapes or odd or len(widths) != 1:
        shown = f"the word {fit_to_print(odd[0])}" if odd else "it"
        why = f"{EMBEDDINGS}: {shown} is not rows of one width under a printable name"
        raise AdapterError("The adapter is damaged", why, _AGAIN)
