"""Base models: list them, show one, or verify one and put it into your own bucket.

python3 course.py base
python3 course.py base ID
python3 course.py base ID --from FOLDER --accept-licence
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.bases.records import accept_licence, acceptance, require_licence
from helpers.bases.registry import PARTS, REGISTRY, UNSUPPORTED, Registered, Source, registered
from helpers.errors import CourseError, SetupError
from helpers.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="course.py base",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("id", nargs="?")
    parser.add_argument("--from", dest="folder", type=Path)
    parser.add_argument("--accept-licence", action="store_true")
    parser.add_argument("--trust-weights", action="store_true")
    given = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
        if given.id is None:
            print(listing())
            return 0
        entry = registered(given.id)
        print(card(entry, settings))
        if given.accept_licence and entry.licence.to_accept:
            line = accept_licence(entry.id, settings=settings)
            print(f"  accepted on {line['accepted']} by {line['by']}")
        if given.folder:
            _upload(entry, given.folder, settings, trust=given.trust_weights)
    except CourseError as trouble:
        print(f"\n{type(trouble).__name__}: {trouble}", file=sys.stderr)
        return 1
    return 0


def listing() -> str:
    """Every base of the registry in one line each, and what is not in it."""
    lines = [
        f"{entry.id}\n    {entry.resolution} px, {entry.prediction_type}, {entry.disk_gib} GiB, "
        f"{entry.licence.spdx}"
        for entry in REGISTRY.values()
    ]
    lines += [f"{name}\n    not supported: {why}" for name, why in UNSUPPORTED.items()]
    return "\n".join(lines)


def card(entry: Registered, settings: Settings) -> str:
    """What the registry says of a base, its licence, and whether that was accepted."""
    needs = "no GPU"
    if entry.gpu_gib:
        needs = f"about {entry.gpu_gib:g} GiB of GPU memory (from memory, not measured here)"
    lines = [
        f"{entry.id}, by {entry.publisher}",
        f"  {entry.resolution} px, {entry.prediction_type}; {entry.disk_gib} GiB; fine-tuning "
        f"takes {needs}",
        f"  {entry.notes}",
        *(f"  files: {one.repository} at {one.revision} ({one.note})" for one in entry.sources),
        *(f"  to get them: {_download(one)}" for one in entry.sources[:1]),
        f"  hashes: {entry.confirmed or 'none are pinned; nobody has confirmed any'}",
        f"  licence: {entry.licence}",
    ]
    if entry.licence.to_accept:
        given = acceptance(entry, settings)
        lines.append(f"  accepted: {given['accepted'] if given else 'not yet'}")
    return "\n".join(lines)


def _download(source: Source) -> str:
    """The hub's own command, for the half-precision files and what describes them."""
    files = " ".join(f"--include '{pattern}'" for pattern in _FILES)
    revision = f" --revision {source.revision}" if source.revision else ""
    return f".venv/bin/hf download {source.repository}{revision} {files} --local-dir FOLDER"


_FILES = ("*.json", "tokenizer/*", "LICENSE*", *(f"{part}/*.fp16.safetensors" for part in PARTS))


def _upload(entry: Registered, folder: Path, settings: Settings, *, trust: bool) -> None:
    if not folder.is_dir():
        raise SetupError(f"{folder} is not a folder", "", "name the folder that holds the base")
    require_licence(entry, settings)
    from helpers.bases.store import upload_base
    from helpers.cloud.session import open_cloud

    cloud = open_cloud(settings)
    print(f"\nVerifying {folder} and uploading to {cloud.bucket}:", flush=True)
    stored = upload_base(
        cloud,
        cloud.ledger(),
        folder,
        base_id=entry.id,
        trust=trust,
        on_file=lambda name, sent: print(
            f"  {'uploaded' if sent else 'there already'}  {name}", flush=True
        ),
    )
    for note in stored.notes:
        print(f"  note: {note}")
    print(f"  {stored.bytes / 1024**2:,.0f} MiB; {stored.vouched}")
    print(f"\n  {stored.uri}")


if __name__ == "__main__":
    sys.exit(main())
