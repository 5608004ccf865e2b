"""The one place that reads ``AVATAR_*`` from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from helpers.errors import SettingsError, fit_to_print

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the folder that holds ``helpers``, ``models`` and ``notebooks``."""

MOST_HOURS = 168
"""A week: whoever needs an endpoint for longer runs a product, not a course."""

MOST_THREADS = 1024
_REGION = re.compile(r"[a-z]{2,8}(-[a-z]{2,16}){1,3}-\d{1,2}", re.ASCII)
_LEARNER = re.compile(r"(?!.*--)[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the course may vary, read once from the environment.

    ``backend``       ``local`` (our own SageMaker on this machine) or ``aws``
    ``base_model``    registry id of the base model; ``pocket`` locally
    ``fast``          tiny step counts, for tests and rehearsals
    ``region``        AWS region, also the one the local SageMaker pretends to be in
    ``learner``       namespace of this learner in names, tags and S3 keys: up to 20 lower-case
                      letters, digits and single hyphens
    ``outputs``       folder for pictures and reports
    ``state``         folder of the local SageMaker: state file, logs, ledger
    ``threads``       torch threads of one container (oversubscription slows torch ten-fold)
    ``hours``         hours after which an endpoint counts as forgotten, and the course says so
    ``role_arn``      execution role on AWS; by default the role that the notebook runs as
    ``bucket``        bucket on AWS; by default SageMaker's own, ``sagemaker-<region>-<account>``
    ``prices``        JSON file of one's own prices, see ``helpers.cloud.prices``
    """

    backend: str = "local"
    base_model: str = "pocket"
    fast: bool = False
    region: str = "us-east-1"
    learner: str = "learner"
    outputs: Path = ROOT / "outputs"
    state: Path = ROOT / ".local-sagemaker"
    threads: int = min(os.cpu_count() or 1, 8)
    hours: float = 4.0
    role_arn: str = ""
    bucket: str = ""
    prices: Path | None = None

    def __post_init__(self) -> None:
        if self.backend not in ("local", "aws"):
            raise SettingsError(
                f"AVATAR_BACKEND is '{fit_to_print(self.backend)}'",
                "it can be local or aws",
                "set one of them",
            )
        if not _LEARNER.fullmatch(self.learner):
            raise SettingsError(
                "AVATAR_LEARNER is not usable in a resource name",
                "up to 20 lower-case letters, digits and single hyphens, none at either end",
                "choose such a name",
            )
        if not 1 <= self.threads <= MOST_THREADS:
            raise SettingsError(
                "AVATAR_THREADS is below 1" if self.threads < 1 else "AVATAR_THREADS is too large",
                f"{MOST_THREADS} at most",
                "set it to your number of cores",
            )
        if not _REGION.fullmatch(self.region):
            raise SettingsError(
                f"AVATAR_REGION is '{fit_to_print(self.region)}'",
                "it becomes part of addresses, and a region reads us-east-1",
                "set it to a region of AWS",
            )
        if self.role_arn and not _ROLE.fullmatch(self.role_arn):
            raise SettingsError(
                "AVATAR_ROLE_ARN is no role",
                "it reads arn:aws:iam::<account>:role/<name>",
                "copy it from the role's page, or leave it out",
            )
        if self.bucket and not _BUCKET.fullmatch(self.bucket):
            raise SettingsError(
                "AVATAR_BUCKET is no bucket's name",
                "it has 3 to 63 lower-case letters, digits, dots, hyphens, and no s3:// before it",
                "set it to a bucket's name, or leave it out",
            )
        if not 0 < self.hours <= MOST_HOURS:
            raise SettingsError(
                f"AVATAR_HOURS is {self.hours:g}",
                f"it is a number of hours above 0, {MOST_HOURS} at most",
                "set it to the hours that a sitting takes",
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read every ``AVATAR_*`` variable; an empty one counts as not set.

        Raises ``SettingsError`` for an unknown name (a typo would otherwise pass unnoticed) and
        for a value of the wrong type.
        """
        environ = os.environ if environ is None else environ
        known = {f"AVATAR_{field.name.upper()}": field for field in fields(cls)}
        given = {
            name: text.strip()
            for name, text in environ.items()
            if name.startswith("AVATAR_") and text.strip()
        }
        if unknown := sorted(set(given) - set(known)):
            raise SettingsError(
                f"unknown setting {fit_to_print(unknown[0])}",
                "",
                f"known settings: {', '.join(sorted(known))}",
            )
        values: dict[str, Any] = {
            known[name].name: _parse(name, given[name], known[name].default) for name in given
        }
        return cls(**values)


def _parse(name: str, text: str, default: object) -> object:
    if isinstance(default, bool):
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        given = f"{name} is '{fit_to_print(text)}'"
        raise SettingsError(given, "it is a switch", "set it to 1 or 0")
    if isinstance(default, (int, float)):
        kind = type(default)
        try:
            return kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            why, then = f"it is {what}", "correct it, or leave it out"
            raise SettingsError(f"{name} is '{fit_to_print(text)}'", why, then) from None
    if default is None or isinstance(default, Path):
        try:
            return Path(text).expanduser().resolve()
        except (RuntimeError, ValueError, OSError):  # ~nobody, a NUL, a name too long
            why, then = "it is no path on this machine", "set it to a folder's or file's path"
            raise SettingsError(f"{name} is '{fit_to_print(text)}'", why, then) from None
    return text
