"""What a container is told through its environment, within the limits that SageMaker sets.

A longer value is refused by CreateModel; arguments for Triton that its start script would split
wrongly are refused by nobody, and the container dies without a word about them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from helpers.errors import ServiceError

MAX_ENTRY_BYTES = 1024
MAX_TOTAL_BYTES = 32 * 1024
BASE_REPOSITORY = "/opt/avatar/repository"
"""Where the serving image holds the model repository of the shared base."""
BASE_MODEL = "avatar_base"
TRITON_ARGUMENTS = "SAGEMAKER_TRITON_ADDITIONAL_ARGS"
SHARED_MEMORY = "SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE"
_PLAIN = re.compile(r"[A-Za-z0-9_./=:,+-]+")


def check_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container, if SageMaker takes them. Raises ``ServiceError``."""
    total = 0
    for name, value in environment.items():
        sizes = len(name.encode()), len(value.encode())
        total += sum(sizes)
        if max(sizes) > MAX_ENTRY_BYTES:
            raise ServiceError(
                f"the variable {name[:40]} is too long for a container",
                f"a name and a value may have {MAX_ENTRY_BYTES:,} bytes, it has {max(sizes):,}",
                "put long settings into the model archive",
            )
    if total > MAX_TOTAL_BYTES:
        raise ServiceError(
            "the variables of a container are too long together",
            f"they may have {MAX_TOTAL_BYTES:,} bytes, they have {total:,}",
            "put long settings into the model archive",
        )
    return dict(environment)


def triton_arguments(*arguments: str) -> str:
    """A value of ``SAGEMAKER_TRITON_ADDITIONAL_ARGS``.

    The image's start script appends it unquoted: a blank or a quotation mark inside an argument
    would come out as something else. Raises ``ServiceError`` for those, and beyond 1,024 bytes.
    """
    for argument in arguments:
        if not argument.startswith("--") or not _PLAIN.fullmatch(argument):
            raise ServiceError(
                "this argument cannot be handed to Triton",
                f"{argument!r} does not begin with --, or has a character that a shell would read",
                "use letters, digits and . _ / = : , + - only",
            )
    return check_environment({TRITON_ARGUMENTS: " ".join(arguments)})[TRITON_ARGUMENTS]


SERVING_BASE = triton_arguments(
    f"--model-repository={BASE_REPOSITORY}", f"--load-model={BASE_MODEL}"
)
"""Arguments that make the serving image load its base when it starts."""
SETUP_REPOSITORY = "/tmp"
"""The temporary folder of a container, where ``model_setup`` lays the base when it is invoked."""
LATER_BASE = triton_arguments(f"--model-repository={SETUP_REPOSITORY}")
"""Arguments for AWS's own image: the base comes with ``model_setup``."""
