"""The execution role: what SageMaker's containers may do, they do as this role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from helpers.errors import ServiceError
from helpers.launcher.kernels import STUDIO_METADATA
from helpers.settings import Settings

_SET_IT = "set AVATAR_ROLE_ARN to the role's ARN, ExecutionRoleArn among the stack's outputs"


def execution_role(
    session: Any, settings: Settings, account: str, *, metadata: Path = STUDIO_METADATA
) -> str:
    """ARN of the role that the course passes to SageMaker; ``session`` is a boto3 session.

    On AWS ``AVATAR_ROLE_ARN`` if it is set; else the role that this notebook runs as: the one that
    Studio names in ``metadata``, or that of the caller's session. Raises ``ServiceError``.
    """
    on_aws = settings.backend == "aws"
    given = (settings.role_arn or _studio_role(metadata)) if on_aws else ""
    arn = given or _callers_role(session)
    if arn.split(":")[4] != account:
        raise ServiceError(
            "the execution role belongs to another account", f"the calls go to {account}", _SET_IT
        )
    return arn


def _studio_role(metadata: Path) -> str:
    try:
        return json.loads(metadata.read_text()).get("ExecutionRoleArn", "")
    except (OSError, ValueError):
        return ""


def _callers_role(session: Any) -> str:
    arn = session.client("sts").get_caller_identity()["Arn"]
    if ":assumed-role/" not in arn:
        raise ServiceError(
            "there is no execution role",
            "the caller is no role, and SageMaker needs one to assume",
            _SET_IT,
        )
    name = arn.split("/")[1]
    try:
        # The ARN of a session leaves out the role's path, so the role itself is asked.
        return session.client("iam").get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as trouble:
        raise ServiceError(
            f"the role {name} cannot be looked up",
            trouble.response["Error"].get("Message", str(trouble)),
            _SET_IT,
        ) from trouble
