"""The model repository of the serving image: the shared base, its weights and our code."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from helpers.bases import BaseModel
from helpers.bases.prepare import prepare_base
from helpers.packaging import helper_files
from helpers.pins import direct_pins
from helpers.settings import ROOT

DOOR = ROOT / "models" / "avatar_base"
ENTRIES = ("helpers.startup", "helpers.hosting.base", "helpers.hosting.watch")
REQUIREMENTS = ROOT / "requirements" / "serving.txt"
_ENVIRONMENT = """\
# The Python that this model runs in; the stubs of the avatars run in the image's own.
parameters {
  key: "EXECUTION_ENV_PATH"
  value: { string_value: "$$TRITON_MODEL_DIRECTORY/%s" }
}
"""


def build_base_repository(
    target: Path, base_folder: Path, *, environment: Path | None = None
) -> Path:
    """Write a Triton model repository with the one model ``avatar_base``; returns ``target``.

    It holds ``avatar_base/config.pbtxt`` and, in version folder ``1``, the door ``model.py``, the
    parts of ``helpers`` that it needs, the packages it checks for and the base's weights: what the
    extended Triton image of the endpoint contains, on AWS and here. An older repository at
    ``target`` is replaced. ``environment`` is an archive of ``helpers.hosting.python_env`` for an
    image without our packages: it comes along, and the base's configuration names it.

    Raises ``BaseModelError`` when the base cannot be opened.
    """
    base = prepare_base(Path(base_folder))
    model = Path(target) / "avatar_base"
    if model.exists():
        shutil.rmtree(model)
    version = model / "1"
    version.mkdir(parents=True)
    shutil.copy(DOOR / "config.pbtxt", model)
    shutil.copy(DOOR / "1" / "model.py", version)
    for name, file in helper_files(*ENTRIES).items():
        copy = version / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (version / "requirements.txt").write_text(_requirements(), encoding="utf-8")
    if environment is not None:
        shutil.copyfile(environment, model / environment.name)
        with (model / "config.pbtxt").open("a", encoding="utf-8") as config:
            config.write(_ENVIRONMENT % environment.name)
    base.write(version / "base")
    return Path(target)


def kept_base_repository(store: Path, base: BaseModel) -> Path:
    """The model repository of ``base`` below the folder ``store``, built if it is not there yet.

    Its folder is named by what is in it, base and code: a server that still runs an older one
    never has files pulled from under it, and two builders at once make the same.
    """
    parts = [DOOR / "config.pbtxt", DOOR / "1" / "model.py", *helper_files(*ENTRIES).values()]
    digest = hashlib.sha256(f"{base.hash} {_requirements()}".encode())
    for file in parts:
        digest.update(file.read_bytes())
    kept = Path(store) / f"avatar-base-{digest.hexdigest()[:16]}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="building-", dir=store))
        try:
            build_base_repository(fresh, base.folder)
            os.rename(fresh, kept)
        except OSError:
            if not kept.exists():
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return kept


def _requirements() -> str:
    """What the base checks when it loads. NumPy is left to the server that its stub belongs to."""
    pins = {name: pin for name, pin in direct_pins(REQUIREMENTS).items() if name != "numpy"}
    return "".join(f"{name}=={version}\n" for name, version in pins.items())
