"""The door of the fine-tuning container: DJL Serving calls ``handle``; helpers do the work.

An exception leaves as it is. DJL answers it as an error, so that SageMaker writes the failure
object and tells the error topic; a failed training is never reported as a result. An install that
failed is found first, by name: so everything that needs packages is imported after that check.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from djl_python import Input, Output

from helpers.startup import check_start_up, import_libraries

service: dict[str, Any] = {}


def load(options: dict[str, str]) -> None:
    """Open the base beside this file. The options are those of ``serving.properties``."""
    folder = Path(options["model_dir"])
    print(check_start_up(folder / "requirements.txt"), flush=True)
    import_libraries()
    import boto3

    from helpers.bases import open_base
    from helpers.tuning.service import clear_leftovers, publish_to
    from helpers.tuning.shelf import BaseShelf

    service.update(
        shelf=BaseShelf(),
        base=open_base(folder / "base"),
        work=Path(tempfile.gettempdir()) / "fine-tuning",
        longest_s=float(options["predict_timeout"]),
        publish=publish_to(boto3.client("s3"), options["staging_s3_uri"]),
    )
    clear_leftovers(service["work"])


def handle(inputs: Input) -> Output | None:
    """Answer one request; the first, empty one loads the base."""
    if inputs.is_empty():
        return load(inputs.get_properties())
    from helpers.tuning.service import read_headers, run_job

    inference_id, seconds = read_headers(inputs.get_properties(), longest_s=service["longest_s"])
    result = run_job(
        inputs.get_as_bytes() or b"",
        base=service["base"],
        work=service["work"],
        publish=service["publish"],
        inference_id=inference_id,
        shelf=service["shelf"],
        deadline=time.monotonic() + seconds,
        log=partial(print, flush=True),
    )
    return Output().add_as_json(result)
