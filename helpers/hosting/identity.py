"""Which adapter is it? One text for its weights and the words it learned."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.tuning.adapter import AdapterManifest


def adapter_identity(manifest: AdapterManifest) -> str:
    """64 hexadecimal digits: the weights' SHA-256, mixed with that of learned words if any.

    The stub in ``training_service/sd_lora`` computes the same from ``adapter.json``.
    """
    if manifest.embeddings_sha256 is None:
        return manifest.sha256
    return hashlib.sha256((manifest.sha256 + manifest.embeddings_sha256).encode()).hexdigest()
