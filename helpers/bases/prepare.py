"""A downloaded base, checked and laid out as every container takes it.

Model hubs hold a base in several forms side by side. A prepared one has each network once, as
safetensors under its plain name, the text encoder's keys in the form that every version reads, and
``base.json``: which base it is, under which licence, and what every file hashes to. Nothing that
can run code goes along.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helpers.archives import safe_name
from helpers.bases.checker import checker_files
from helpers.bases.folder import (
    MANIFEST,
    BaseModel,
    combined_hash,
    file_sha256,
    open_base,
    variant,
)
from helpers.bases.keys import PREFIX, check_encoder, read_keys, write_prefixed
from helpers.bases.prepared import PreparedBase, manifest_of, workshop
from helpers.bases.recognise import recognise
from helpers.bases.records import require_licence, trust_weights
from helpers.bases.registry import PARTS, UNSUPPORTED, registered
from helpers.bases.shape import INDEX, read_config, read_shape
from helpers.errors import ArchiveError, BaseModelError, fit_to_print
from helpers.settings import Settings

_CLASSES = {
    "text_encoder": "CLIPTextModel",
    "tokenizer": "CLIPTokenizer",
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "scheduler": "",
}
_DATA = {".json", ".txt", ".safetensors"}


def prepare_base(
    folder: Path,
    *,
    base_id: str | None = None,
    trust: bool = False,
    settings: Settings | None = None,
) -> PreparedBase:
    """Check the base in a diffusers folder and lay out its package; copies next to nothing.

    ``base_id`` says which base it must be. ``trust`` pins the hashes of a base for which the
    registry has none (trust on first use), in the state folder of ``settings``.

    Raises ``BaseModelError`` when a part is missing, in another format than safetensors or of
    another kind, when the text encoder has a key too few or too many, when prediction type or
    resolution are not the registered ones, when the weights are not those that are pinned, and
    when the licence has not been accepted.
    """
    folder, settings = Path(folder), settings or Settings.from_environment()
    if (folder / MANIFEST).is_file():
        return _prepared_before(folder, base_id, settings)
    if base_id:  # before gigabytes are read
        require_licence(registered(base_id), settings)
    shape, index = read_shape(folder), read_config(folder, INDEX)
    _check_classes(folder, index)
    notes: list[str] = []
    weights = _choose_weights(folder, notes)
    weights["text_encoder"] = _with_prefixed_keys(folder, weights["text_encoder"], settings, notes)
    sums = {
        part: {name: file_sha256(path) for name, path in files.items()}
        for part, files in weights.items()
    }
    pins = {part: next(iter(sums[part].values())) for part in PARTS}
    if trust and base_id and not registered(base_id).weights and not registered(base_id).ours:
        trust_weights(registered(base_id), pins, settings)
    entry, vouched = recognise(folder, shape, sums, base_id=base_id, settings=settings)
    accepted = require_licence(entry, settings)
    base = BaseModel(
        id=entry.id,
        folder=folder,
        hash=combined_hash(sums),
        resolution=shape.resolution,
        prediction_type=shape.prediction_type,
        vouched=vouched,
    )
    files = {
        f"{part}/{name}": path for part, found in weights.items() for name, path in found.items()
    }
    files |= dict(_plain_files(folder)) | checker_files(folder, index, entry)
    files[INDEX] = _index(folder, index, settings, base.hash, notes)
    known = {
        f"{part}/{name}": digest for part, found in sums.items() for name, digest in found.items()
    }
    every = {name: known.get(name) or file_sha256(files[name]) for name in sorted(files)}
    return PreparedBase(
        base=base,
        files={name: files[name] for name in sorted(files)},
        sums=every,
        manifest=manifest_of(base, files, every, accepted),
        notes=tuple(notes),
    )


def _prepared_before(folder: Path, base_id: str | None, settings: Settings) -> PreparedBase:
    base = open_base(folder, base_id=base_id, settings=settings)
    listed = read_config(folder, MANIFEST).get("files")
    if not isinstance(listed, dict) or not listed:
        raise _not_as_listed(folder, "its list of files")
    for name, facts in listed.items():
        if not _as_listed(folder, name, facts):
            raise _not_as_listed(folder, fit_to_print(name, 120))
    files = {name: folder / name for name in listed}
    return PreparedBase(
        base=base,
        files=files,
        sums={name: listed[name]["sha256"] for name in files},
        manifest=(folder / MANIFEST).read_bytes(),
        notes=(),
    )


def _as_listed(folder: Path, name: str, facts: Any) -> bool:
    """Whether a file of the manifest lies in the folder, below it, with the hash that it gives."""
    try:
        inside = safe_name(name) == name
    except ArchiveError:
        inside = False
    path = folder / name
    known = isinstance(facts, dict) and isinstance(facts.get("sha256"), str)
    return inside and known and path.is_file() and file_sha256(path) == facts["sha256"]


def _not_as_listed(folder: Path, name: str) -> BaseModelError:
    return BaseModelError(
        f"The base model in {folder.name}/ is damaged",
        f"{name} is not what {MANIFEST} says",
        "Get the base model again",
    )


def _check_classes(folder: Path, index: Mapping[str, Any]) -> None:
    kind = str(index.get("_class_name"))
    if kind != "StableDiffusionPipeline":
        xl = "XL" in kind
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be used",
            next(iter(UNSUPPORTED.values()))
            if xl
            else f"It is a {fit_to_print(kind)}, says {INDEX}",
            "Take a StableDiffusionPipeline of the registry",
        )
    for part, wanted in _CLASSES.items():
        entry = index.get(part)
        found = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if not (folder / part).is_dir() or not found or wanted not in (found, ""):
            kind = f"a {fit_to_print(found)}, not a {wanted}" if found and wanted else "not there"
            raise BaseModelError(
                f"The base model in {folder.name}/ is incomplete",
                f"Its {part} is {kind}",
                "Get every folder that model_index.json names",
            )


def _choose_weights(folder: Path, notes: list[str]) -> dict[str, dict[str, Path]]:
    """For each network its files by their plain names: the full variant, or else ``fp16``."""
    for kind in ("", "fp16"):
        found = {part: _weights(folder / part, kind) for part in PARTS}
        if all(len(files) == 1 for files in found.values()):
            break
    else:
        have = "; ".join(
            f"{part}: {', '.join(sorted(p.name for p in (folder / part).iterdir())) or 'nothing'}"
            for part in PARTS
        )
        raise BaseModelError(
            f"The base model in {folder.name}/ has no complete set of weights",
            f"It needs one safetensors file in each of {', '.join(PARTS)}, all of one variant; it "
            f"has {have}",
            "Get the files of one variant; other formats are not read, because they can run code",
        )
    if kind:
        notes.append("its half-precision files (.fp16.) are used, under their plain names")
    return found


def _weights(part: Path, kind: str) -> dict[str, Path]:
    """The safetensors of one variant, by plain name."""
    return {
        path.name.replace(f".{kind}", "") if kind else path.name: path
        for path in sorted(part.glob("*.safetensors"))
        if variant(path) == kind
    }


def _with_prefixed_keys(
    folder: Path, files: dict[str, Path], settings: Settings, notes: list[str]
) -> dict[str, Path]:
    """The text encoder with keys that every transformers reads, rewritten where they are short."""
    ((name, path),) = files.items()
    keys = read_keys(path)
    check_encoder(keys, read_config(folder, "text_encoder/config.json"))
    if all(key.startswith(PREFIX) for key in keys):
        return files
    written = workshop(settings, file_sha256(path)) / name
    if not written.exists():
        write_prefixed(path, written)
    notes.append(f"the text encoder's keys got the prefix {PREFIX} that older versions need")
    return {name: written}


def _plain_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Configurations, the tokenizer, the licence: data that is no network's weights."""
    for part in _CLASSES:
        for path in sorted((folder / part).iterdir()):
            if path.suffix in _DATA - {".safetensors"} and ".index." not in path.name:
                yield f"{part}/{path.name}", path
    for path in sorted(folder.glob("LICENSE*")):
        if path.is_file():
            yield path.name, path


def _index(
    folder: Path, index: Mapping[str, Any], settings: Settings, digest: str, notes: list[str]
) -> Path:
    """``model_index.json`` without the parts that do not come along, such as a safety checker."""
    absent = [
        part
        for part, kind in index.items()
        if isinstance(kind, list) and kind != [None, None] and part not in _CLASSES
    ]
    if not absent:
        return folder / INDEX
    notes.append(f"{', '.join(absent)} are no part of the pipeline: it would use them unasked")
    changed = {**index, **{part: [None, None] for part in absent}}
    if "requires_safety_checker" in index or "safety_checker" in absent:
        changed["requires_safety_checker"] = False
    written = workshop(settings, digest) / INDEX
    written.write_text(json.dumps(changed, indent=2) + "\n", encoding="utf-8")
    return written
