"""The safety checker that some bases bring: it comes along as files and is no part of the pipeline.

A pipeline that loads one blackens pictures without a word to the caller, and keeps it on the
accelerator while it trains. So ``model_index.json`` of a package names none; serving opens it from
its folder (``helpers.hosting.safety``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.bases.folder import file_sha256, variant
from helpers.bases.registry import Registered
from helpers.errors import BaseModelError

CHECKER, EXTRACTOR = "safety_checker", "feature_extractor"
_CONFIGS = (f"{CHECKER}/config.json", f"{EXTRACTOR}/preprocessor_config.json")
_CLASS = "StableDiffusionSafetyChecker"


def checker_files(folder: Path, index: Mapping[str, Any], entry: Registered) -> dict[str, Path]:
    """Weights and configurations of the checker that ``index`` names, by their names in a package;
    none where the registry pins none for ``entry``, or where the folder came without it.

    Raises ``BaseModelError`` for weights that are not those of the registry.
    """
    named = index.get(CHECKER)
    if not entry.checker or not isinstance(named, list) or named[-1:] != [_CLASS]:
        return {}
    weights = sorted((folder / CHECKER).glob("*.safetensors"), key=variant)
    configs = {name: folder / name for name in _CONFIGS}
    if not weights or not all(path.is_file() for path in configs.values()):
        return {}
    chosen = next((path for path in weights if variant(path) in ("", "fp16")), weights[0])
    if (found := file_sha256(chosen)) not in entry.checker.values():
        raise BaseModelError(
            f"The safety checker in {folder.name}/ is not the one of {entry.id}",
            f"{CHECKER}/{chosen.name} has the SHA-256 {found[:16]}, published are "
            + ", ".join(f"{digest[:16]} ({kind})" for kind, digest in entry.checker.items()),
            f"Get it from where the base comes from, or remove the folder {CHECKER}",
        )
    return {**configs, f"{CHECKER}/model.safetensors": chosen}
