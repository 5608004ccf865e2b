"""A base model on disk: what its folder holds, which of the registry's it is, who vouches for it.

Two bases can have the same shapes, so a folder is known by its weights first: by their pins, or by
what ``base.json`` of a prepared base says of them. Its shape and prediction type must then agree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.bases.records import remembered_folder, require_licence, trusted_weights
from helpers.bases.registry import PARTS, REGISTRY, UNSUPPORTED, Pins, Registered, registered
from helpers.errors import BaseModelError
from helpers.settings import ROOT, Settings

POCKET = ROOT / "models" / "pocket"
"""The base that the course ships."""

INDEX = "model_index.json"
MANIFEST = "base.json"
"""Of a prepared base: which one it is, and what every file hashes to. Written last."""


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A base model on disk.

    ``hash`` is the SHA-256 over its weights, ``resolution`` the side in pixels that it paints,
    ``prediction_type`` what its U-Net predicts: ``epsilon`` or ``v_prediction``. ``vouched`` says
    in words why its weights are taken for those of ``id``.
    """

    id: str
    folder: Path
    hash: str
    resolution: int
    prediction_type: str
    vouched: str = ""

    @property
    def registered(self) -> Registered:
        """The registry's entry."""
        return REGISTRY[self.id]


def shipped_base(base_id: str, *, settings: Settings | None = None) -> BaseModel:
    """The base of that id on this machine: the course's own, or one taken in by ``course.py base``.

    Raises ``BaseModelError`` if it is not there.
    """
    entry = registered(base_id)
    if base_id == "pocket":
        return open_base(POCKET, settings=settings)
    folder = remembered_folder(entry, settings or Settings.from_environment())
    if folder is None:
        raise BaseModelError(
            f"the base model {base_id} is not on this machine",
            "the course ships the base pocket",
            "leave AVATAR_BASE_MODEL out, or set it to pocket; or get the base's files and run "
            f"python3 course.py base {base_id} --from FOLDER",
        )
    return open_base(folder, base_id=base_id, settings=settings)


def open_base(
    folder: Path, *, base_id: str | None = None, settings: Settings | None = None
) -> BaseModel:
    """Read what a diffusers folder holds. Loads no weights, but reads them all for the hash.

    ``base_id`` says which base it must be; ``settings`` name the state folder in which acceptances
    lie. Raises ``BaseModelError`` when the folder is missing or incomplete, holds weights in
    another format than safetensors, is no base of the registry, holds other weights than that
    base's, or when its licence has not been accepted.
    """
    folder = Path(folder)
    shape = read_shape(folder)
    sums = weight_sums(folder)
    given = _manifest(folder)
    if given is not None:
        if given.get("hash") != combined_hash(sums) or base_id not in (None, given.get("id")):
            raise BaseModelError(
                f"The base model in {folder.name}/ is not the one that its {MANIFEST} names",
                f"It should be {given.get('id')} {str(given.get('hash'))[:12]}, "
                f"its weights are {combined_hash(sums)[:12]}",
                "Get the base model again",
            )
        entry, vouched = registered(str(given.get("id"))), str(given.get("vouched"))
        shape.require(entry, folder)
        if (given.get("licence") or {}).get("licence") != entry.licence.spdx:
            require_licence(entry, settings)
    else:
        entry, vouched = recognise(folder, shape, sums, base_id=base_id, settings=settings)
        require_licence(entry, settings)
    return BaseModel(
        id=entry.id,
        folder=folder,
        hash=combined_hash(sums),
        resolution=shape.resolution,
        prediction_type=shape.prediction_type,
        vouched=vouched,
    )


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a folder's configurations say: enough to tell which bases it could be."""

    text_width: int
    latent_side: int
    resolution: int
    prediction_type: str

    def fits(self, entry: Registered) -> bool:
        return self == Shape(
            text_width=entry.text_width,
            latent_side=entry.latent_side,
            resolution=entry.resolution,
            prediction_type=entry.prediction_type,
        )

    def require(self, entry: Registered, folder: Path) -> None:
        """Raise ``BaseModelError`` unless the folder is configured as the entry says."""
        if not self.fits(entry):
            raise BaseModelError(
                f"The base model in {folder.name}/ has the weights of {entry.id} and not its "
                "configuration",
                f"It is configured for {self}; {entry.id} is {entry.resolution} pixels, "
                f"{entry.prediction_type}",
                "Take every file from the same place: with the wrong prediction type a base "
                "paints noise",
            )

    def __str__(self) -> str:
        return (
            f"{self.resolution} pixels, {self.prediction_type}, text width {self.text_width}, "
            f"latents of {self.latent_side}"
        )


def read_shape(folder: Path) -> Shape:
    """What the configurations say. Raises ``BaseModelError`` for no usable diffusers folder."""
    if not (folder / INDEX).is_file():
        raise BaseModelError(
            f"There is no base model in {folder.name}/",
            f"It has no {INDEX}",
            "Give the folder of a StableDiffusionPipeline",
        )
    unet = read_config(folder, "unet/config.json")
    vae = read_config(folder, "vae/config.json")
    noise = read_config(folder, "scheduler/scheduler_config.json")
    try:
        width, side = int(unet["cross_attention_dim"]), int(unet["sample_size"])
        resolution = side * 2 ** (len(vae["block_out_channels"]) - 1)
    except (KeyError, TypeError, ValueError):
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be used",
            "Its configuration does not describe a Stable Diffusion base",
        ) from None
    prediction_type = str(noise.get("prediction_type", "epsilon"))
    if prediction_type not in ("epsilon", "v_prediction"):
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be fine-tuned",
            f"Its scheduler predicts {prediction_type!r}; epsilon and v_prediction are understood",
        )
    return Shape(
        text_width=width,
        latent_side=side,
        resolution=resolution,
        prediction_type=prediction_type,
    )


def recognise(
    folder: Path,
    shape: Shape,
    sums: Mapping[str, Mapping[str, str]],
    *,
    base_id: str | None = None,
    settings: Settings | None = None,
) -> tuple[Registered, str]:
    """Which base it is, and who vouches for that. ``sums`` are those of ``weight_sums``.

    Raises ``BaseModelError`` when it is none, could be several, or holds weights that nobody knows.
    """
    pins = {part: next(iter(files.values())) for part, files in sums.items() if len(files) == 1}
    asked = registered(base_id) if base_id else None
    known = [entry for entry in REGISTRY.values() if pins in entry.weights.values()]
    if known and asked in (None, *known):
        entry = asked or known[0]
        shape.require(entry, folder)
        return entry, "its weights have the hashes that the registry pins"
    entry = asked or _by_shape(folder, shape)
    shape.require(entry, folder)
    if entry.ours:
        return entry, "the course makes it"
    if entry.weights:
        raise BaseModelError(
            f"The base model in {folder.name}/ is not {entry.id}",
            _difference(pins, entry.weights),
            "Take the files of a revision that the registry names: " + _sources(entry),
        )
    trusted = trusted_weights(entry, settings)
    if trusted == pins:
        return entry, "its weights have the hashes that this learner trusted"
    shown = ", ".join(f"{part} {digest}" for part, digest in sorted(pins.items()))
    raise BaseModelError(
        f"nobody has confirmed the weights of {entry.id}",
        f"the registry pins no hashes for it, and {folder.name}/ has {shown}"
        + (", others than the ones you trusted before" if trusted else ""),
        "compare them with a second source; then trust them with --trust-weights of "
        "python3 course.py base, which writes them down",
    )


def weight_sums(folder: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of each weight file that a loader takes, by part and file name.

    Variants such as ``model.fp16.safetensors`` do not count. Raises ``BaseModelError`` when a part
    has no safetensors file.
    """
    sums = {}
    for part in PARTS:
        files = [
            file for file in sorted((folder / part).glob("*.safetensors")) if not variant(file)
        ]
        if not files:
            raise BaseModelError(
                f"The base model in {folder.name}/ has no usable weights for {part}",
                "Only safetensors files are read, because other formats can run code",
                "Convert or download the base in that format; a base in half precision alone "
                "(.fp16.safetensors) is taken in by python3 course.py base",
            )
        sums[part] = {file.name: file_sha256(file) for file in files}
    return sums


def variant(file: Path) -> str:
    """``fp16`` of ``model.fp16.safetensors``; empty for the file that a loader takes unasked."""
    return file.name.removesuffix(".safetensors").partition(".")[2]


def base_hash(folder: Path) -> str:
    """SHA-256 (hex) over the weight files of text encoder, U-Net and autoencoder.

    Names count as well as bytes; cards and configurations do not. Raises ``BaseModelError`` when
    one of the three has no safetensors file.
    """
    return combined_hash(weight_sums(folder))


def combined_hash(sums: Mapping[str, Mapping[str, str]]) -> str:
    """The base's hash, from its files' own."""
    digest = hashlib.sha256()
    for part in PARTS:
        for name, sha256 in sorted(sums[part].items()):
            digest.update(f"{part}/{name}\0{sha256}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of the folder. Raises ``BaseModelError`` if there is none of that name."""
    try:
        config = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise BaseModelError(
            f"The base model in {folder.name}/ is incomplete", f"{name} is missing or damaged"
        )
    return config


def _manifest(folder: Path) -> dict[str, Any] | None:
    return read_config(folder, MANIFEST) if (folder / MANIFEST).is_file() else None


def _by_shape(folder: Path, shape: Shape) -> Registered:
    index = read_config(folder, INDEX)
    if "XL" in str(index.get("_class_name")) or "text_encoder_2" in index:
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be fine-tuned",
            next(iter(UNSUPPORTED.values())),
            f"Use one of: {', '.join(REGISTRY)}",
        )
    fitting = [entry for entry in REGISTRY.values() if shape.fits(entry)]
    if not fitting:
        raise BaseModelError(
            f"The base model in {folder.name}/ is none that the course knows",
            f"It is configured for {shape}, which matches no entry of the registry",
            f"Use one of: {', '.join(REGISTRY)}",
        )
    if len(fitting) > 1:
        raise BaseModelError(
            f"The base model in {folder.name}/ could be several of the registry's",
            f"Its shape is that of {', '.join(entry.id for entry in fitting)}, and none of them "
            "pins its weights",
            "Say which it is (base_id)",
        )
    return fitting[0]


def _difference(pins: Pins, weights: Mapping[str, Pins]) -> str:
    """How the weights differ from the published variant that they are nearest to."""
    name, nearest = max(weights.items(), key=lambda item: len(pins.items() & item[1].items()))
    wrong = [part for part in PARTS if pins.get(part) != nearest[part]]
    found = ", ".join(
        f"{part} is {pins.get(part, 'in several files')[:16]} and should be {nearest[part][:16]}"
        for part in wrong
    )
    return f"Against its {name} variant, {found} (SHA-256)"


def _sources(entry: Registered) -> str:
    return "; ".join(f"{one.repository} at {one.revision}" for one in entry.sources)
