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
    """Write the endpoint's ``model.tar.gz`` to ``path``, as the Hugging Face container wants it.

    The pipeline's files lie at the root (``model_index.json``, ``unet/`` …), because SageMaker
    unpacks the archive where the toolkit looks for the model; the toolkit puts ``code/`` on
    Python's path and imports ``inference`` from it, so the parts of ``helpers`` that it needs lie
    beside it. Every library comes from the container. The same parts give the same bytes.
    Raises ``BaseModelError``.
    """
    ours = {
        "inference.py": DOOR / "inference.py",
        "requirements.txt": DOOR / "requirements.txt",
        **helper_files(*ENTRIES),
    }
    return pack(
        {
            **prepare_base(Path(base_folder)).members(),
            **{f"code/{name}": file for name, file in ours.items()},
        },
        path,
    )
