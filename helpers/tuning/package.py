"""What the fine-tuning container is given: thin door, the parts of helpers it needs, the base.

A small base travels inside the archive. A large one is uploaded once (``helpers.bases.store``) and
laid beside the code in S3, from where SageMaker takes both without packing or unpacking anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.archives import pack
from helpers.bases.prepare import prepare_base
from helpers.errors import ConfigError
from helpers.packaging import helper_files
from helpers.settings import ROOT
from helpers.wheels import FOLDER, locked

if TYPE_CHECKING:
    from helpers.cloud.ledger import Ledger
    from helpers.cloud.session import Cloud

DOOR = ROOT / "training_service"
ENTRIES = ("helpers.startup", "helpers.tuning.service")
JOB_ENTRIES = ("helpers.startup", "helpers.tuning.train_job", "helpers.experiments.cell_files")
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
    base = prepare_base(Path(base_folder)).members("base/")
    return pack({**_code(staging_s3_uri, timeout_s, wheels), **base}, path)


def stage_training_service(
    cloud: Cloud,
    ledger: Ledger,
    *,
    base_uri: str,
    staging_s3_uri: str,
    timeout_s: int = LONGEST,
    wheels: Path | None = None,
) -> str:
    """Lay the same files side by side in S3; returns their prefix, for ``deploy_async``.

    ``base_uri`` is where ``upload_base`` left the base: it is copied inside S3, under ``base/``,
    and no byte of it passes this machine. The prefix is named by what is in it. The other
    arguments and errors are those of ``package_training_service``.
    """
    from helpers.bases.fetch import read_manifest
    from helpers.bases.store import copy_base, put_file

    code = _code(staging_s3_uri, timeout_s, wheels)
    s3 = cloud.client("s3")
    content, sums = _sums(code, read_manifest(s3, base_uri)["hash"])
    prefix = cloud.uri("models", f"tuning-{content}") + "/"
    ledger.planned("s3-prefix", prefix)
    copy_base(s3, base_uri, f"{prefix}base")
    for name, one in code.items():
        put_file(s3, f"{prefix}{name}", one, sums[name])
    ledger.created("s3-prefix", prefix)
    return prefix


def stage_training_code(cloud: Cloud, ledger: Ledger, *, wheels: Path | None = None) -> str:
    """Lay the code of training jobs in S3; returns its prefix, the channel ``code`` of a job.

    ``wheels`` is a folder that ``helpers.wheels.vendor_wheels`` filled: a job with network
    isolation cannot install anything else. Raises ``SetupError`` for a folder without wheels.
    """
    from helpers.bases.store import put_file

    code = {"train.py": DOOR / "train.py", **_packages(wheels), **helper_files(*JOB_ENTRIES)}
    content, sums = _sums(code)
    prefix = cloud.uri("models", f"training-{content}") + "/"
    ledger.planned("s3-prefix", prefix)
    for name, one in code.items():
        put_file(cloud.client("s3"), f"{prefix}{name}", one, sums[name])
    ledger.created("s3-prefix", prefix)
    return prefix


def _sums(code: Mapping[str, Path | bytes], known: str = "") -> tuple[str, dict[str, str]]:
    """What a prefix is named by, and the SHA-256 of each of its files."""
    digest, sums = hashlib.sha256(known.encode()), {}
    for name, content in sorted(code.items()):
        data = content if isinstance(content, bytes) else content.read_bytes()
        sums[name] = hashlib.sha256(data).hexdigest()
        digest.update(f"{name}\0{sums[name]}\n".encode())
    return digest.hexdigest()[:16], sums


def _code(staging_s3_uri: str, timeout_s: int, wheels: Path | None) -> dict[str, Path | bytes]:
    """Everything but the base, by its name in the container's model folder."""
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
    return {
        "serving.properties": properties.encode(),
        "model.py": DOOR / "model.py",
        **_packages(wheels),
        **helper_files(*ENTRIES),
    }


def _packages(wheels: Path | None) -> dict[str, Path | bytes]:
    """What the container installs: by name, or the wheels themselves."""
    if wheels is None:
        return {"requirements.txt": DOOR / "requirements.txt"}
    files: dict[str, Path | bytes] = {"requirements.txt": locked(wheels).encode()}
    return files | {f"{FOLDER}/{wheel.name}": wheel for wheel in wheels.glob("*.whl")}
