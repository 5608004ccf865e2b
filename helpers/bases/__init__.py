"""Base models: which ones exist, what a folder on disk holds, how one reaches a container.

registry   which bases there are; adding one is one entry
licences   what their licences ask
records    licences accepted and hashes trusted, written down
keys       names of a text encoder's tensors, for every version of transformers
shape      what a folder's configurations say
recognise  which base a folder holds, and who vouches for that
folder     opening a base on disk
prepare    checking a downloaded base and laying it out as containers take it
prepared   that package
store      the same in a bucket
fetch      from there onto a container's disk
"""

from helpers.bases.folder import BaseModel, base_hash, file_sha256, open_base, shipped_base
from helpers.bases.records import accept_licence
from helpers.bases.registry import REGISTRY, Registered, registered

__all__ = [
    "REGISTRY",
    "BaseModel",
    "Registered",
    "accept_licence",
    "base_hash",
    "file_sha256",
    "open_base",
    "registered",
    "shipped_base",
]
