"""Which base of the registry a folder holds, and who vouches for that.

Two bases can have the same shapes, so a folder is known by its weights first: by their pins. Its
shape and prediction type must then agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from helpers.bases.records import trusted_weights
from helpers.bases.registry import PARTS, REGISTRY, UNSUPPORTED, Pins, Registered, registered
from helpers.bases.shape import INDEX, Shape, read_config
from helpers.errors import BaseModelError
from helpers.settings import Settings


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
