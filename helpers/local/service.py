"""The process of the local SageMaker: ``python -m helpers.local.service``; use ``launch`` instead.

Listens on a free port of 127.0.0.1, writes the state file once it answers, and ends on SIGTERM
with every container it started. However it ends, the next one in the same folder goes on where it
was: ``journal`` and ``keeper`` hold what was made, ``revive`` lets endpoints and jobs go on.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, make_server

from helpers.local.account import open_account
from helpers.local.auth import Doorkeeper
from helpers.local.autoscaler import Autoscaler
from helpers.local.builds import Builds
from helpers.local.context import ACCOUNT, Context
from helpers.local.control_plane import ControlPlane
from helpers.local.data_plane import DataPlane
from helpers.local.front import Front
from helpers.local.guard import Guard
from helpers.local.journal import Journal
from helpers.local.keeper import Keeper
from helpers.local.statefile import (
    JOURNAL,
    OBJECTS,
    STATE,
    WORK,
    WORK_PREFIX,
    LocalService,
    hold_alive,
    remove_state,
    write_private,
    write_state,
)


def serve(
    *, state: Path, region: str, threads: int, settle: float, starting: int | None = None
) -> int:
    """Run until SIGTERM. Returns 1 when another service already runs in this state folder.

    ``starting`` is a file descriptor that is closed once the service can be found.
    """
    alive = hold_alive(state)
    if alive is None:
        print("another local SageMaker runs in this folder", file=sys.stderr)
        return 1
    os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: object) -> None:
            """Say nothing: the address of a presigned request is a key."""

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, _not_yet, threaded=True, request_handler=Handler)
    server.daemon_threads = True  # type: ignore[attr-defined]
    service = LocalService(
        url=f"http://127.0.0.1:{server.server_port}",
        access_key="AKIA" + secrets.token_hex(8).upper(),
        secret_key=secrets.token_urlsafe(30),
        region=region,
        account=ACCOUNT,
        pid=os.getpid(),
        started=time.time(),
    )
    open_account(region, service.access_key)
    work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX))
    write_private(state / WORK, str(work))
    guard = Guard(work, alive)
    journal = Journal(state / JOURNAL)
    context = Context(
        url=service.url,
        access_key=service.access_key,
        secret_key=service.secret_key,
        region=region,
        work=work,
        logs=state / "logs",
        state=state,
        threads=threads,
        settle=settle,
        guard=guard,
        journal=journal,
    )
    moto = DomainDispatcherApplication(create_backend_app)
    # It would list moto's own folder for every request, and a host never changes its service.
    moto.get_backend_for_host = functools.cache(moto.get_backend_for_host)
    keeper = Keeper(journal, state / OBJECTS, region, moto)
    keeper.put_back(service.url, service.access_key)
    control = ControlPlane(context)
    autoscaler = Autoscaler(context, control, keeper.scaling_changes)
    server.app = Front(
        doorkeeper=Doorkeeper(
            access_key=service.access_key, secret_key=service.secret_key, port=server.server_port
        ),
        control=control,
        data=DataPlane(context, control),
        builds=Builds(context, control.tags),
        autoscaler=autoscaler,
        keeper=keeper,
    )
    _end_on_signal(server)
    control.revive()
    autoscaler.start()
    write_state(state, service)
    if starting is not None:
        os.close(starting)
    _end_without(state / STATE, server)
    print(f"listening on {service.url}", flush=True)
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        if _names_us(state / STATE):
            remove_state(state)
        autoscaler.stop()
        journal.close()  # what the end itself does to jobs is not what became of them
        control.stop()
        guard.close()
        alive.close()
    return 0


def _not_yet(_environ: object, start: object) -> list[bytes]:
    raise AssertionError("a request came before the service was ready")


def _end_on_signal(server: BaseWSGIServer) -> None:
    def end(*_: object) -> None:
        # shutdown() waits for serve_forever, which this handler interrupts: so from a thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def _end_without(file: Path, server: BaseWSGIServer) -> None:
    """End when the state file is gone or names another service: nobody could find this one."""

    def watch() -> None:
        while _names_us(file):
            time.sleep(1)
        server.shutdown()

    threading.Thread(target=watch, name="state file", daemon=True).start()


def _names_us(file: Path) -> bool:
    try:
        return json.loads(file.read_text())["pid"] == os.getpid()
    except (OSError, ValueError, KeyError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--settle", type=float, default=1.0)
    parser.add_argument("--starting", type=int)
    arguments = parser.parse_args()
    sys.exit(
        serve(
            state=arguments.state.resolve(),
            region=arguments.region,
            threads=arguments.threads,
            settle=arguments.settle,
            starting=arguments.starting,
        )
    )


if __name__ == "__main__":
    main()
