"""Work in a process of its own that can be killed on the way."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


def in_child(
    work: Callable[[], object],
    *,
    killed_at: str | None = None,
    beside: Callable[[], object] = lambda: None,
) -> None:
    """Do ``work`` in a fork of this process, and ``beside`` meanwhile in this one.

    ``killed_at`` names a function of ``os`` at whose first call the fork ends at once, with no
    chance to clean up.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            if killed_at:
                setattr(os, killed_at, lambda *_: os._exit(9))
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    beside()
    _, status = os.waitpid(child, 0)
    code, wanted = os.waitstatus_to_exitcode(status), 9 if killed_at else 0
    assert code == wanted, f"the fork ended with {code} (below zero: by that signal), not {wanted}"
