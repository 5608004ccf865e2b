"""Start, find and stop the local SageMaker.

Also from a shell: ``python -m helpers.local.launch start|stop|status``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from helpers.errors import ServiceError
from helpers.local import statefile
from helpers.local.statefile import (
    LocalService,
    is_alive,
    private_folder,
    read_state,
    remove_state,
    starting,
)
from helpers.settings import ROOT, Settings

START_LIMIT_S, STOP_LIMIT_S, ANSWER_LIMIT_S = 60, 20, 10
SETTLE_S, FAST_SETTLE_S = 1.0, 0.1


def find(settings: Settings) -> LocalService | None:
    """The service of this state folder, if one runs."""
    return read_state(settings.state)


def start(settings: Settings) -> LocalService:
    """The service of this state folder: the one that runs, or a new one.

    Two starts at once give one service. It outlives the process that started it. Raises
    ``ServiceError`` when it does not come up.
    """
    try:
        private_folder(settings.state)
    except OSError as trouble:
        raise ServiceError(
            f"the local SageMaker cannot keep anything in {settings.state}",
            str(trouble),
            "set AVATAR_STATE to a folder on a disk that can be written",
        ) from trouble
    with starting(settings.state) as lock:
        if (found := find(settings)) and _answers(found, settings):
            return found
        remove_state(settings.state)  # of a service that was killed
        statefile.remove_leftovers(settings.state)
        return _spawn(settings, lock)


def stop(settings: Settings) -> bool:
    """End the service and its containers; ``False`` if none ran. Raises ``ServiceError``."""
    with starting(settings.state):
        service = find(settings)
        if service is None:
            remove_state(settings.state)
            return False
        _signal(service.pid, signal.SIGTERM)
        if not _until(lambda: not is_alive(settings.state), STOP_LIMIT_S):
            _signal(service.pid, signal.SIGKILL)  # its guard ends the containers
            if not _until(lambda: not is_alive(settings.state), STOP_LIMIT_S):
                raise ServiceError(f"the local SageMaker (process {service.pid}) does not end")
        remove_state(settings.state)
        return True


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(pid, number)


def remove_leftovers(settings: Settings) -> list[Path]:
    """Remove what a service that was killed together with its guard left in the temporary folder
    of the machine; returns what was removed. Nothing while a service runs."""
    with starting(settings.state):
        return [] if find(settings) else statefile.remove_leftovers(settings.state)


def _spawn(settings: Settings, lock: IO[str]) -> LocalService:
    log_path = private_folder(settings.state) / "logs" / "service.log"
    log_path.parent.mkdir(exist_ok=True)
    settle = FAST_SETTLE_S if settings.fast else SETTLE_S
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "helpers.local.service",
             "--state", str(settings.state), "--region", settings.region,
             "--threads", str(settings.threads), "--settle", str(settle),
             "--starting", str(lock.fileno())],
            cwd=ROOT,
            env=_plain_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )  # fmt: skip
    _until(lambda: find(settings) is not None or process.poll() is not None, START_LIMIT_S)
    if found := find(settings):
        return found
    process.kill()
    tail = log_path.read_text(errors="replace")[-1500:].strip()
    raise ServiceError("the local SageMaker did not start", tail, f"read {log_path}")


def _answers(service: LocalService, settings: Settings) -> bool:
    """Whether somebody is there; ``False`` once one that was being killed has ended, which may
    take a while on a busy machine."""
    address = urlsplit(service.url)
    connection = HTTPConnection(address.netloc, timeout=ANSWER_LIMIT_S)
    try:
        connection.request("GET", "/")
        return bool(connection.getresponse().status)
    except (OSError, HTTPException):
        return not _until(lambda: not is_alive(settings.state), STOP_LIMIT_S)
    finally:
        connection.close()


def _plain_environment() -> dict[str, str]:
    """Nobody's AWS settings: the service must never sign for, or call, a real account."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "AVATAR_", "MOTO_")) and not name.lower().endswith("_proxy")
    } | {"PYTHONUNBUFFERED": "1", "AWS_EC2_METADATA_DISABLED": "true"}


def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def main(arguments: list[str]) -> int:
    settings = Settings.from_environment()
    if arguments == ["start"]:
        print(f"the local SageMaker listens on {start(settings).url}")
    elif arguments == ["stop"]:
        print("the local SageMaker ended" if stop(settings) else "no local SageMaker ran")
    elif arguments == ["status"]:
        found = find(settings)
        print(f"the local SageMaker listens on {found.url}" if found else "no local SageMaker runs")
        return 0 if found else 1
    else:
        print("usage: python -m helpers.local.launch start|stop|status", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
