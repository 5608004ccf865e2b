"""A machine that has the course and nothing else: no ledger, no notes, an empty state folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.local.statefile import LocalService
from helpers.settings import ROOT

LIMIT_S = 120


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A checkout of its own, whose AWS is a local SageMaker if ``aws`` is given."""

    root: Path
    learner: str
    aws: LocalService | None = None

    @classmethod
    def fresh(cls, folder: Path, learner: str, aws: LocalService | None = None) -> Machine:
        root = folder / "course"
        for name in ("helpers", "requirements"):
            shutil.copytree(
                ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "pocket")
            )
        shutil.copy(ROOT / "course.py", root)
        return cls(root=root, learner=learner, aws=aws)

    @property
    def state(self) -> Path:
        return self.root / ".local-sagemaker"

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of this machine's own settings; for AWS a caller and an address."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AVATAR_", "AWS_", "SAGEMAKER_"))
        }
        own = {"AVATAR_LEARNER": self.learner, "AVATAR_FAST": "1", "AVATAR_THREADS": "1", **more}
        if self.aws is None:
            return {**kept, **own}
        return {
            **kept,
            **own,
            "AVATAR_BACKEND": "aws",
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_ACCESS_KEY_ID": self.aws.access_key,
            "AWS_SECRET_ACCESS_KEY": self.aws.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def clean(self, *options: str, **run: Any) -> subprocess.CompletedProcess[str]:
        """``python3 course.py clean``, where nobody can be asked."""
        return subprocess.run(
            self.command("clean", *options),
            cwd=self.root.parent,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            **run,
        )

    def command(self, *words: str) -> list[str]:
        # This very Python holds the course's pins, so no environment is made.
        return [sys.executable, str(self.root / "course.py"), *words]
