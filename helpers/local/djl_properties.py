"""``serving.properties``: how a model wants DJL to serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers.local.hosts import HostError

MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""DJL Serving's own default; a container raises it with ``SERVING_MAX_REQUEST_SIZE``."""


@dataclass(frozen=True, kw_only=True)
class ServingProperties:
    """A model's serving properties with DJL's defaults.

    ``options`` are those named ``option.*``, without the prefix: what the handler gets to see.
    Times in seconds, sizes in bytes.
    """

    options: Mapping[str, str]
    workers: int = 1
    predict_timeout: float = 120
    model_loading_timeout: float = 240
    job_queue_size: int = 1000
    max_request_bytes: int = MAX_REQUEST_BYTES

    @property
    def entry_point(self) -> str:
        return self.options.get("entryPoint", self.options.get("entrypoint", "model.py"))

    @property
    def handler(self) -> str:
        return self.options.get("handler", "handle")


def read_properties(folder: Path, environment: Mapping[str, str]) -> ServingProperties:
    """The properties of the model in ``folder``, ``OPTION_*`` and ``SERVING_*`` variables on top.

    The number of workers is ``maxWorkers``, or else ``minWorkers``, or else one: DJL starts the
    smaller number and grows with the load, which a single machine gains nothing from. Raises
    ``HostError`` for an engine other than Python and for a number that is none.
    """
    path = folder / "serving.properties"
    values = parse(path.read_text() if path.is_file() else "")
    for name, value in environment.items():
        if name.startswith("OPTION_"):
            values[f"option.{name.removeprefix('OPTION_').lower()}"] = value
    if values.get("engine", "Python") not in ("Python", "MPI"):
        raise HostError(f"engine={values['engine']} cannot run on this machine, only Python can.")
    options = {
        name.removeprefix("option."): value
        for name, value in values.items()
        if name.startswith("option.")
    }

    def number(name: str, default: float, *places: Mapping[str, str]) -> float:
        text = next((place[name] for place in places if name in place), default)
        try:
            return float(text)
        except ValueError:
            raise HostError(f"{name}={text} in serving.properties is no number.") from None

    least = number("minWorkers", environment_number(environment, "SERVING_MIN_WORKERS", 1), values)
    most = number(
        "maxWorkers", environment_number(environment, "SERVING_MAX_WORKERS", least), values
    )
    return ServingProperties(
        options=options,
        workers=max(int(max(least, most)), 1),
        predict_timeout=number("predict_timeout", 120, options),
        model_loading_timeout=number("model_loading_timeout", 240, options),
        job_queue_size=int(number("job_queue_size", 1000, values)),
        max_request_bytes=int(
            environment_number(environment, "SERVING_MAX_REQUEST_SIZE", MAX_REQUEST_BYTES)
        ),
    )


def environment_number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    return float(text) if text.strip().isdigit() else default


def parse(text: str) -> dict[str, str]:
    """The lines of a Java properties file: ``key=value`` or ``key: value``; ``#``, ``!`` remark."""
    values = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line[0] in "#!":
            continue
        at = min((place for place in map(line.find, "=:") if place >= 0), default=len(line))
        values[line[:at].strip()] = line[at + 1 :].strip()
    return values
