"""The archive of the fine-tuning container: thin door, the parts of helpers it needs, the base."""

from __future__ import annotations

from pathlib import Path

from helpers.archives import pack
from helpers.bases import open_base
from helpers.errors import ConfigError
from helpers.packaging import base_files, helper_files
from helpers.settings import ROOT
from helpers.wheels import FOLDER, locked

DOOR = ROOT / "training_service"
ENTRIES = ("helpers.startup", "helpers.tuning.service")
LONGEST = 3600
"""SageMaker's largest ``InvocationTimeoutSeconds``."""


def package_training_service(
    path: Path,
    *,
    base_folder: Path,
    staging_s3_uri: str,
    timeout_s: int = LONGEST,
    wheels: Path | None = None,
) -> Path:
    """Write the endpoint's ``model.tar.gz`` to ``path``.

    ``base_folder`` is the base it fine-tunes, ``staging_s3_uri`` the prefix where it leaves
    adapters, ``timeout_s`` the endpoint's invocation timeout, 1 to 3600. ``wheels`` is a folder
    that ``helpers.wheels.vendor_wheels`` filled, for a container without internet. The same parts
    give the same bytes. Raises ``BaseModelError``, ``ConfigError`` for an unusable address or
    timeout, and ``SetupError`` for a folder without wheels.
    """
    open_base(base_folder)
    address = staging_s3_uri.rstrip("/")
    if not address.startswith("s3://") or not address.isprintable() or len(address) < 6:
        raise ConfigError("staging_s3_uri is not an S3 address", "", "Use s3://bucket/prefix")
    if not 1 <= timeout_s <= LONGEST:
        raise ConfigError(
            f"timeout_s is {timeout_s}", f"It must be at least 1 and at most {LONGEST}"
        )
    properties = (DOOR / "serving.properties").read_text(encoding="utf-8")
    for name, value in {"staging_s3_uri": address, "timeout_s": str(timeout_s)}.items():
        properties = properties.replace(f"@{name}@", value)
    members: dict[str, Path | bytes] = {
        "serving.properties": properties.encode(),
        "model.py": DOOR / "model.py",
        "requirements.txt": DOOR / "requirements.txt",
        **helper_files(*ENTRIES),
    }
    if wheels is not None:
        members["requirements.txt"] = locked(wheels).encode()
        members |= {f"{FOLDER}/{wheel.name}": wheel for wheel in wheels.glob("*.whl")}
    for name, file in base_files(Path(base_folder)).items():
        members[f"base/{name}"] = file
    return pack(members, path)
