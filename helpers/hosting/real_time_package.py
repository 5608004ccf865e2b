"""The archive of the real-time container: the base at its root, our code below ``code/``."""

from __future__ import annotations

from pathlib import Path

from helpers.archives import pack
from helpers.bases.prepare import prepare_base
from helpers.packaging import helper_files
from helpers.settings import ROOT

DOOR = ROOT / "models" / "realtime" / "code"
ENTRIES = ("helpers.startup", "helpers.hosting.real_time")


def package_real_time(path: Path, *, base_folder: Path) -> Path:
    """Write the endpoint's ``model.tar.gz`` to ``path``: ``archive_members``, every library left
    out, because the container brings them. The same parts give the same bytes.

    Raises ``BaseModelError``.
    """
    return pack(archive_members(base_folder), path)


def archive_members(base_folder: Path) -> dict[str, Path | bytes]:
    """The files of the archive by their names in it, as the Hugging Face container wants them.

    The pipeline lies at the root (``model_index.json``, ``unet/`` …), because SageMaker unpacks
    the archive where the toolkit looks for the model. The toolkit puts ``code/`` on Python's path
    and imports ``inference`` from it, so the parts of ``helpers`` that it needs lie beside it.
    """
    ours = {
        "inference.py": DOOR / "inference.py",
        "requirements.txt": DOOR / "requirements.txt",
        **helper_files(*ENTRIES),
    }
    code = {f"code/{name}": file for name, file in ours.items()}
    return {**prepare_base(Path(base_folder)).members(), **code}
