"""Base models: which ones exist, what a folder on disk holds, how one reaches a container."""

from helpers.bases.folder import BaseModel, base_hash, file_sha256, open_base, shipped_base
from helpers.bases.registry import REGISTRY, Registered

__all__ = [
    "REGISTRY",
    "BaseModel",
    "Registered",
    "base_hash",
    "file_sha256",
    "open_base",
    "shipped_base",
]
